"""``Idempotency-Key``: a POST that is sent again has its effect once, and gets the same answer.

The answer is kept for a day. If the gateway is killed between the effect and the kept answer, the request is run again
only if its route passes the key to its effect, which then is not had twice::

    @router.post("/jobs")
    async def submit(key: RepeatKey, ...) -> ...:
        await caller.client.infer(..., idempotency_key=key)

or if the route says that its effect is the same however often it is had: ``dependencies=[REPEATABLE]``. Otherwise the
request is refused.
"""

from __future__ import annotations

import asyncio
import hashlib
import re
from contextlib import suppress
from typing import Annotated, Final

from fastapi import Depends, Request
from fastapi.routing import APIRoute
from starlette.datastructures import Headers
from starlette.responses import Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from longshore.producers.aio.threads import Threads
from longshore.producers.gateway.access.usage import USAGE
from longshore.producers.gateway.problems import Problem
from longshore.producers.gateway.serving.bodies import JSON
from longshore.shared.errors import LongshoreError
from longshore.shared.ledger.gateway.kept_answers import HOLD_S, HeldKey, KeptAnswer, KeptAnswers
from longshore.shared.ledger.gateway.tokens import ValidToken

HEADER: Final = "Idempotency-Key"
#: Of an answer that was kept.
REPLAYED: Final = "Idempotency-Replayed"
_KEY: Final = re.compile(r"[\x21-\x7e]{1,255}")
#: A longer answer is not kept, and none with a secret, which says ``Cache-Control: no-store``.
MAX_KEPT_BYTES: Final = 4 << 20
#: Headers of an answer that are kept.
_KEPT_HEADERS: Final = ("content-type", "location", "preference-applied")


async def repeat_key(request: Request) -> str | None:
    """The key of the request, for its effect; ``None`` if it has none."""
    key: str | None = getattr(request.state, "repeat_key", None)
    return key


#: A parameter of a route that passes it to its effect.
RepeatKey = Annotated[str | None, Depends(repeat_key)]
#: In the ``dependencies`` of a route whose effect is the same however often it is had.
REPEATABLE: Final = Depends(repeat_key)


async def check_repeatable(request: Request) -> None:
    """:raises Problem: 409; the request was interrupted, and its route cannot be run again without a second effect."""
    route = request.scope.get("route")
    if not getattr(request.state, "is_repeated", False) or not isinstance(route, APIRoute):
        return
    if not any(each.call is repeat_key for each in route.dependant.dependencies):
        raise Problem(
            409,
            "interrupted",
            f"an earlier request with this {HEADER} was interrupted, and may have had its effect; see whether it has, "
            "and send it with another key if not",
        )


def kept(app: ASGIApp) -> ASGIApp:
    """The application that has the effect of a POST with a key once."""

    async def call(scope: Scope, receive: Receive, send: Send) -> None:
        state = scope.get("state", {})
        token = state.get("token")
        key = Headers(scope=scope).get(HEADER) if scope["type"] == "http" and scope["method"] == "POST" else None
        if key is None or not isinstance(token, ValidToken):
            await app(scope, receive, send)
            return
        if not _KEY.fullmatch(key):
            raise Problem(400, "invalid_key", f"{HEADER}: write 1 to 255 visible ASCII characters, without spaces")
        gateway = scope["app"].state.gateway
        request = await _Request.read(scope, receive)
        answers = state[USAGE].client.ledger.kept_answers
        held = await gateway.threads.call(answers.take, token.producer, key, request.digest(scope, token))
        if isinstance(held, KeptAnswer):
            await (await _replay(held, request, scope, token))(scope, receive, send)
            return
        state |= {"repeat_key": key, "is_repeated": held.is_repeated}
        await _Attempt(gateway.threads, answers, held, request).run(app, scope, send)

    return call


class _Request:
    """A request whose body is told from others: at once if it is a document, else while it is read."""

    def __init__(self, receive: Receive, first: Message | None, boundary: bytes) -> None:
        self._receive = receive
        self._first = first
        self._boundary = boundary
        self._tail = b""
        self._hash = hashlib.sha256()

    @classmethod
    async def read(cls, scope: Scope, receive: Receive) -> _Request:
        kind = Headers(scope=scope).get("content-type", "")
        # Documents come in one message, of the layer outside this one. Without a body there is none to wait for.
        first = await receive() if kind == JSON else None
        # A client that sends a form again may choose another boundary between its parts.
        boundary = re.search(r'boundary="?([^";]+)"?', kind)
        return cls(receive, first, boundary[1].encode() if boundary else b"")

    @property
    def is_upload(self) -> bool:
        """Whether its body is read as a stream."""
        return self._first is None

    def digest(self, scope: Scope, token: ValidToken) -> bytes:
        """What tells it from other requests of its producer, but for the body of an upload."""
        target = [scope["method"], scope["path"], scope["query_string"].decode("ascii", "replace"), token.id]
        body = b"" if self._first is None else self._first.get("body", b"")
        return hashlib.sha256("\0".join(target).encode() + b"\0" + hashlib.sha256(body).digest()).digest()

    def upload_digest(self) -> bytes:
        """Of what was read of an upload."""
        whole = self._hash.copy()
        whole.update(self._tail)
        return whole.digest()

    async def receive(self) -> Message:
        """The next message."""
        if self._first is not None:
            message, self._first = self._first, None
            return message
        message = await self._receive()
        data = self._tail + message.get("body", b"")
        if self._boundary:
            data = data.replace(self._boundary, b"")
            keep = len(self._boundary) - 1
            data, self._tail = (data[:-keep], data[-keep:]) if len(data) > keep else (b"", data)
        self._hash.update(data)
        return message

    async def drain(self) -> None:
        """Read the rest."""
        while (await self.receive()).get("more_body", False):
            pass


class _Attempt:
    """One run of a request that holds its key."""

    def __init__(self, threads: Threads, answers: KeptAnswers, held: HeldKey, request: _Request) -> None:
        self._threads = threads
        self._answers = answers
        self._held = held
        self._request = request
        self._status = 0
        self._headers: dict[str, str] = {}
        self._is_secret = False
        self._content: list[bytes] = []
        self._size = 0

    async def run(self, app: ASGIApp, scope: Scope, send: Send) -> None:
        """Run it. Its answer is kept before its caller has all of it."""
        is_upload = self._request.is_upload

        async def follow(message: Message) -> None:
            if message["type"] == "http.response.start":
                self._status = message["status"]
                headers = Headers(scope=message)
                self._headers = {name: headers[name] for name in _KEPT_HEADERS if name in headers}
                self._is_secret = "no-store" in headers.get("cache-control", "")
            else:
                self._size += len(message.get("body", b""))
                if self._size <= MAX_KEPT_BYTES:
                    self._content.append(message.get("body", b""))
                if not message.get("more_body", False):
                    await self._end(is_upload)
            await send(message)

        holding = asyncio.create_task(self._hold())
        try:
            await app(scope, self._request.receive, follow)
        except BaseException:
            if self._status == 0:
                # An error of a route is an answer already: this one says nothing of the effect.
                with suppress(LongshoreError):
                    await self._threads.call(self._answers.hold, self._held, 0)
            raise
        finally:
            holding.cancel()

    async def _end(self, is_upload: bool) -> None:
        is_stream = self._headers.get("content-type", "").startswith("text/event-stream")
        if (400 <= self._status < 500 and not self._held.is_repeated) or is_stream:
            # Without effect, also of an interrupted request; or a stream, whose job is cancelled if it is cut.
            await self._threads.call(self._answers.release, self._held)
        elif self._status >= 400 or self._size > MAX_KEPT_BYTES or self._is_secret:
            await self._threads.call(self._answers.hold, self._held, 0)
        else:
            upload = self._request.upload_digest() if is_upload else None
            content = b"".join(self._content)
            await self._threads.call(self._answers.keep, self._held, self._status, self._headers, content, upload)

    async def _hold(self) -> None:
        while True:
            await asyncio.sleep(HOLD_S / 3)
            with suppress(LongshoreError):
                await self._threads.call(self._answers.hold, self._held)


async def _replay(answer: KeptAnswer, request: _Request, scope: Scope, token: ValidToken) -> Response:
    """The answer that was kept.

    :raises Problem: 422 for another request, 409 while the first one is in progress.
    """
    if answer.request != request.digest(scope, token):
        raise _other_request()
    if answer.status is None:
        raise Problem(
            409,
            "in_progress",
            f"a request with this {HEADER} is in progress; try again",
            headers={"Retry-After": str(max(1, min(int(answer.held_s) + 1, int(HOLD_S))))},
        )
    if answer.upload is not None:
        await request.drain()
        if answer.upload != request.upload_digest():
            raise _other_request()
    return Response(answer.content or b"", answer.status, {**(answer.headers or {}), REPLAYED: "true"})


def _other_request() -> Problem:
    detail = f"this {HEADER} was sent with another request or token; use a key for one request"
    return Problem(422, "key_reused", detail)
