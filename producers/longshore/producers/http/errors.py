"""The errors of the gateway as those of the client."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

import httpx

from longshore.shared.errors import (
    AliasMoved,
    InvalidInput,
    JobFailed,
    LongshoreError,
    NotPromoted,
    QueueFull,
    ResultsPruned,
    ServiceUnavailable,
    UnknownJob,
    UnknownModel,
    VersionInUse,
    WaitTimeout,
)

#: Codes of errors that name a field.
_OF_A_FIELD: Final[Mapping[str, type[InvalidInput]]] = {
    "unknown_model": UnknownModel,
    "unknown_job": UnknownJob,
    "version_in_use": VersionInUse,
    "results_pruned": ResultsPruned,
    "invalid_input": InvalidInput,
    "queue_full": QueueFull,
    "unknown_file": InvalidInput,
}
_OTHERS: Final[Mapping[str, type[LongshoreError]]] = {
    "not_promoted": NotPromoted,
    "alias_moved": AliasMoved,
    "job_failed": JobFailed,
    "timeout": WaitTimeout,
}
#: Codes of answers that say that the same request can succeed later.
_LATER: Final = frozenset({"rate_limited", "busy", "stopping", "unavailable", "in_progress", "store_damaged"})
#: Statuses of which proxies before a gateway say the same.
_AWAY: Final = frozenset({502, 503, 504})
#: Codes of paths that a gateway does not have.
_NO_ROUTE: Final = frozenset({"not_found", "method_not_allowed"})
_MAX_BODY_CHARS: Final = 2000
_PATH: Final = re.compile(r"(requests\[\d+\]\.)?options\.")


@dataclass(frozen=True)
class GatewayProblem:
    """What an answer that is an error says."""

    status: int
    code: str
    detail: str
    #: The first field that is wrong, and why.
    field: str | None = None
    reason: str = ""
    #: Seconds after which to try again; ``None`` if the answer does not say.
    retry_after_s: float | None = None

    @property
    def is_temporary(self) -> bool:
        """Whether the same request can succeed later."""
        return self.code in _LATER or (not self.code and self.status in _AWAY)

    @property
    def may_have_had_effect(self) -> bool:
        """Whether a request that changes something may have done so."""
        return self.code in ("", "in_progress") or "may have been submitted" in self.detail

    def error(self) -> LongshoreError:
        """The error of the client."""
        if self.code in _OF_A_FIELD:
            kind = _OF_A_FIELD[self.code]
            if self.field is not None:
                return kind(_as_in_python(self.field), self.reason)
            return kind("jobs" if kind is QueueFull else "request", self.detail)
        if self.code in _OTHERS:
            return _OTHERS[self.code](self.detail)
        if self.status == 401:
            return InvalidInput("token", "the gateway refuses it: it is wrong, has expired or was revoked")
        if self.status == 403:
            return InvalidInput("token", self.detail)
        if self.status == 413:
            return InvalidInput("data", self.detail)
        if (
            self.code
            and self.code not in _NO_ROUTE
            and 400 <= self.status < 500
            and not self.is_temporary
            and self.status != 409
        ):
            return InvalidInput(_as_in_python(self.field or "request"), self.reason or self.detail)
        if self.code in _NO_ROUTE or (not self.code and self.status not in _AWAY):
            return InvalidInput(
                "url", f"there is no gateway of Longshore, or one of another release: HTTP {self.status}"
            )
        return ServiceUnavailable(f"the gateway cannot do it now: {self.detail} (HTTP {self.status})")


def read_problem(answer: httpx.Response) -> GatewayProblem:
    """What an answer says, whose body was read. Without a code it is of something else than a gateway."""
    after = answer.headers.get("retry-after", "")
    retry_after_s = float(after) if after.isascii() and after.isdigit() and len(after) < 10 else None
    fields: object = None
    if answer.headers.get("content-type", "").startswith("application/problem+json"):
        try:
            fields = json.loads(answer.content)
        except ValueError:
            fields = None
    if not isinstance(fields, dict):
        return GatewayProblem(answer.status_code, "", answer.reason_phrase, retry_after_s=retry_after_s)
    errors = fields.get("errors")
    first = errors[0] if isinstance(errors, list) and errors and isinstance(errors[0], dict) else None
    return GatewayProblem(
        answer.status_code,
        str(fields.get("code", "")),
        str(fields.get("detail", ""))[:_MAX_BODY_CHARS],
        None if first is None else str(first.get("field", "")),
        "" if first is None else str(first.get("detail", ""))[:_MAX_BODY_CHARS],
        retry_after_s,
    )


def _as_in_python(field: str) -> str:
    """A field of a body as the argument of the client's method: ``batch_size`` for ``options.batch_size``."""
    match = _PATH.match(field)
    name = field if match is None else (match[1] or "") + field[match.end() :]
    return "if_" if name == "if" else name
