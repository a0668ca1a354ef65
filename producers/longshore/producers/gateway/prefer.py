"""How long a caller waits: the header ``Prefer`` (RFC 7240)."""

from __future__ import annotations

import re
from typing import Annotated, Final, TypeAlias

from fastapi import Header

from longshore.shared.errors import InvalidInput

Prefer: TypeAlias = Annotated[
    str | None,
    Header(
        description="`respond-async`: answer at once with the job. `wait=N`: after N seconds at most.",
        examples=["wait=5"],
    ),
]
_WAIT: Final = re.compile(r"wait\s*=\s*\"?(\d{1,9})\"?", re.IGNORECASE)


def wait_of(prefer: str | None, longest: float) -> float:
    """Seconds to wait for a job.

    :param longest: if the caller says nothing, and at most.
    :raises InvalidInput: the seconds are no whole number; names ``prefer``.
    """
    preferences = [each.partition(";")[0].strip() for each in (prefer or "").split(",")]
    if any(each.lower() == "respond-async" for each in preferences):
        return 0.0
    for each in preferences:
        if each.lower().partition("=")[0].strip() == "wait":
            match = _WAIT.fullmatch(each)
            if match is None:
                raise InvalidInput("prefer", f"{each!r}: write wait and whole seconds, as in wait=5")
            return min(float(match[1]), longest)
    return longest
