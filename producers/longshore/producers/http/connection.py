"""Requests to the gateway: connections that are used again, time limits, and trying again where that is safe."""

from __future__ import annotations

import random
import ssl
import threading
import time
from collections.abc import Generator, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Final, NoReturn
from urllib.parse import quote
from uuid import uuid4

import httpx
from pydantic import JsonValue, TypeAdapter

from longshore.producers.http.address import GatewayAddress
from longshore.producers.http.errors import GatewayProblem, read_problem
from longshore.producers.version import __version__
from longshore.shared import forks
from longshore.shared.errors import ServiceUnavailable, SubmissionUncertain

#: Seconds for which a gateway that has answered before may be away before a call fails, and before a wait fails.
CALL_OUTAGE_S: Final = 20.0
WAIT_OUTAGE_S: Final = 60.0
#: The same for one that has never answered: its address may be wrong.
FIRST_OUTAGE_S: Final = 2.0
#: Seconds between two tries, at first and at most.
_PAUSE_S, _MAX_PAUSE_S = 0.2, 5.0
#: Seconds for a connection, and for an answer.
CONNECT_S: Final = 10.0
ANSWER_S: Final = 90.0
_CONNECTIONS: Final = httpx.Limits(max_connections=64, max_keepalive_connections=32, keepalive_expiry=20.0)
#: In place of the key of a request that may have its effect twice.
_REPEATABLE: Final = ""
AGENT: Final = {"User-Agent": f"longshore-python/{__version__}"}
_JSON: Final[TypeAdapter[JsonValue]] = TypeAdapter(JsonValue)

Params = Mapping[str, str | int | float | bool | list[str] | None]
Document = dict[str, JsonValue]


class _ShownToken(httpx.Auth):
    """Sends the token. It is in no header of the client, so that nothing shows it."""

    def __init__(self, token: str) -> None:
        self._token = token

    def auth_flow(self, request: httpx.Request) -> Generator[httpx.Request, httpx.Response, None]:
        request.headers["Authorization"] = f"Bearer {self._token}"
        yield request


class GatewayOutage:
    """How long a gateway has been away, and when to try again.

    :param budget_s: seconds after which it counts as gone.
    :param deadline: by ``time.monotonic()``, after which nothing is tried any more; ``None``: there is none.
    """

    def __init__(self, budget_s: float, deadline: float | None = None) -> None:
        self._budget_s = budget_s
        self._deadline = deadline
        self._since: float | None = None
        self._pause_s = _PAUSE_S

    def over(self) -> None:
        """It has answered."""
        self._since, self._pause_s = None, _PAUSE_S

    def pause(self, at_least_s: float | None) -> bool:
        """Wait before the next try.

        :returns: whether there is one.
        """
        pause_s = self.next_pause_s(at_least_s)
        if pause_s is None:
            return False
        time.sleep(pause_s)
        return True

    def next_pause_s(self, at_least_s: float | None) -> float | None:
        """Seconds to wait before the next try; ``None`` if there is none."""
        now = time.monotonic()
        self._since = now if self._since is None else self._since
        pause_s = max(at_least_s or 0.0, self._pause_s * random.uniform(0.5, 1.0))
        end = self._since + self._budget_s
        if now + pause_s > (end if self._deadline is None else min(end, self._deadline)):
            return None
        self._pause_s = min(2 * self._pause_s, _MAX_PAUSE_S)
        return pause_s


@dataclass(frozen=True)
class Form:
    """A form with a file.

    :param file_field: the field that is the file.
    :param name: of the file.
    :param fields: the other fields.
    """

    file_field: str
    name: str
    content: bytes
    fields: Mapping[str, str]


class Cut(Exception):
    """An answer has ended before its end."""


class GatewayConnection:
    """The gateway, as threads share it. A forked child makes connections of its own."""

    def __init__(self, address: GatewayAddress) -> None:
        self.url = address.url
        self.auth: httpx.Auth = _ShownToken(address.token)
        #: Whether it is a gateway that can be away, and no wrong address.
        self.has_answered = False
        self._making = threading.Lock()
        self._made: httpx.Client | None = None
        forks.call_after_fork(self)

    def get(self, path: str, params: Params | None = None, *, wait_s: float = 0.0) -> Document:
        """The document at a path.

        :param wait_s: seconds for which the gateway may let the answer wait.
        """
        return read_document(self._request("GET", path, params, wait_s=wait_s))

    def items(self, path: str, params: Params | None = None) -> Iterator[JsonValue]:
        """The entries of a list, of all of its pages."""
        query = dict(params or {})
        while True:
            page = self.get(path, query)
            data = page.get("data")
            yield from data if isinstance(data, list) else ()
            if (following := page.get("next")) is None:
                return
            query["cursor"] = str(following)

    def content(self, path: str, params: Params) -> bytes:
        """The bytes of an answer."""
        return self._request("GET", path, params).content

    def post(
        self,
        path: str,
        body: Mapping[str, JsonValue] | None = None,
        *,
        is_repeatable: bool = False,
        wait_s: float = 0.0,
    ) -> Document:
        """Send a document. It is sent again until there is an answer, and has its effect once.

        :param is_repeatable: a second effect does no harm: it has no key, which a gateway that has died would hold.
        :param wait_s: seconds for which the gateway may let the answer wait.
        :raises SubmissionUncertain: there is no answer; it may have had its effect.
        """
        return read_document(self._request("POST", path, None, body=body or {}, key=_key(is_repeatable), wait_s=wait_s))

    def upload(self, path: str, form: Form, *, is_repeatable: bool = False) -> Document:
        """Send a form with a file, as :meth:`post`."""
        return read_document(self._request("POST", path, None, form=form, key=_key(is_repeatable)))

    def delete(self, path: str, params: Params | None = None) -> Document:
        """Delete what is at a path. It is not sent again if it may have had its effect."""
        return read_document(self._request("DELETE", path, params))

    @contextmanager
    def lines(self, path: str, params: Params) -> Iterator[Iterator[str]]:
        """The lines of an answer while they come. It is not tried again.

        :raises Cut: it has ended before its end; the caller may go on.
        """
        try:
            with self._client.stream(
                "GET", self.at(path), params=given_params(params), timeout=time_limits()
            ) as answer:
                self.has_answered = True
                if not answer.is_success:
                    answer.read()
                    problem = read_problem(answer)
                    if problem.is_temporary:
                        raise Cut
                    raise problem.error()
                yield answer.iter_lines()
        except httpx.TransportError as error:
            raise Cut(str(error)) from None

    def outage(self, budget_s: float, deadline: float | None = None) -> GatewayOutage:
        """A new count of how long the gateway is away."""
        return GatewayOutage(budget_s if self.has_answered else FIRST_OUTAGE_S, deadline)

    def close(self) -> None:
        """Close the connections."""
        with self._making:
            if self._made is not None:
                self._made.close()
            self._made = None

    def forget_parent(self) -> None:
        """In a forked child: see :mod:`longshore.shared.forks`."""
        self._making = threading.Lock()
        forks.keep(self._made)
        self._made = None

    def _request(
        self,
        method: str,
        path: str,
        params: Params | None,
        *,
        body: Mapping[str, JsonValue] | None = None,
        form: Form | None = None,
        key: str | None = None,
        wait_s: float = 0.0,
    ) -> httpx.Response:
        """:param key: of a request that changes something; empty if it may do so twice, ``None`` if it may not."""
        # What has no key is a step of something long.
        outage = self.outage(WAIT_OUTAGE_S if key == _REPEATABLE else CALL_OUTAGE_S)
        may_have_had_effect = False
        headers = {"Idempotency-Key": key} if key else {}
        while True:
            problem: GatewayProblem | None = None
            try:
                answer = self._client.request(
                    method, self.at(path), params=given_params(params), headers=headers, timeout=time_limits(wait_s),
                    json=body, data=None if form is None else form.fields,
                    files=None if form is None else {form.file_field: (form.name, form.content)},
                )  # fmt: skip
            except httpx.TransportError as error:
                reason, sent = outage_reason(error), not isinstance(error, httpx.ConnectError | httpx.ConnectTimeout)
                is_safe = method == "GET" or key is not None or not sent
                if is_final(error):
                    self._fail(reason, uncertain=False)
            else:
                self.has_answered = True
                if answer.is_success:
                    return answer
                problem = read_problem(answer)
                if not problem.is_temporary:
                    raise problem.error()
                reason, sent = f"{problem.detail} (HTTP {problem.status})", problem.may_have_had_effect
                is_safe = method == "GET" or key is not None
            may_have_had_effect |= sent and method != "GET" and key != _REPEATABLE
            if not is_safe or not outage.pause(None if problem is None else problem.retry_after_s):
                self._fail(reason, uncertain=may_have_had_effect)

    def _fail(self, reason: str, *, uncertain: bool) -> NoReturn:
        if uncertain:
            message = f"the gateway {self.url} has not answered: {reason}; the request may have had its effect"
            raise SubmissionUncertain(message, [])
        raise ServiceUnavailable(f"the gateway {self.url} cannot be reached: {reason}")

    def fail(self, reason: str) -> NoReturn:
        """:raises ServiceUnavailable: always; the gateway is away for too long."""
        self._fail(reason, uncertain=False)

    def at(self, path: str) -> str:
        """The URL of a path."""
        return f"{self.url}/v1{path}"

    @property
    def _client(self) -> httpx.Client:
        with self._making:
            if self._made is None:
                self._made = httpx.Client(auth=self.auth, headers=AGENT, limits=_CONNECTIONS, timeout=time_limits())
            return self._made


def _key(is_repeatable: bool) -> str:
    return _REPEATABLE if is_repeatable else uuid4().hex


def segment(text: str) -> str:
    """A text as a part of a path. Names of models keep their slashes."""
    return quote(text, safe="/:@")


def given_params(params: Params | None) -> dict[str, str | int | float | bool | list[str]]:
    """The parameters that have a value."""
    return {name: value for name, value in (params or {}).items() if value is not None}


def time_limits(wait_s: float = 0.0) -> httpx.Timeout:
    """The time limits of a request whose answer may wait for some seconds."""
    return httpx.Timeout(ANSWER_S + wait_s, connect=CONNECT_S, pool=None)


def read_document(answer: httpx.Response) -> Document:
    """The document of an answer.

    :raises InvalidInput: what has answered is no gateway.
    """
    try:
        document = _JSON.validate_json(answer.content)
    except ValueError:
        document = None
    if not isinstance(document, dict):
        raise GatewayProblem(answer.status_code, "", "no JSON").error()
    return document


def is_final(error: httpx.TransportError) -> bool:
    """Whether trying again cannot help: the certificate is not trusted, or the URL is none."""
    cause: BaseException | None = error
    while cause is not None:
        if isinstance(cause, ssl.SSLCertVerificationError):
            return True
        cause = cause.__cause__ or cause.__context__
    return isinstance(error, httpx.UnsupportedProtocol)


def outage_reason(error: httpx.TransportError) -> str:
    """Why a gateway has not answered."""
    return str(error) or type(error).__name__
