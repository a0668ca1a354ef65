"""Bodies: how long they may be, in which form they come and go.

A body in JSON or msgpack is read here as a whole, within a budget of memory that all requests share, and checked before
a route sees it, as JSON. All others are uploads, which routes read as a stream.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from http import HTTPStatus
from typing import Final, TypeVar

from starlette.datastructures import Headers, MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from longshore.producers.gateway.problems import MEDIA_TYPE as PROBLEM
from longshore.producers.gateway.problems import Problem, response_to
from longshore.producers.gateway.serving.documents import (
    json_to_msgpack,
    memory_of,
    msgpack_to_json,
    read_json,
    too_many_values,
)
from longshore.producers.gateway.settings import GatewaySettings

T = TypeVar("T")

JSON: Final = "application/json"
MSGPACK: Final = frozenset({"application/msgpack", "application/x-msgpack", "application/vnd.msgpack"})
UPLOADS: Final = frozenset({
    "multipart/form-data", "application/octet-stream", "application/vnd.apache.arrow.stream",
    "application/vnd.apache.parquet",
})  # fmt: skip
#: Forms of answers, besides these.
ANSWERS: Final = frozenset({
    # The packages for OpenAI's API ask for the content of a file as application/binary.
    JSON, PROBLEM, *MSGPACK, "application/octet-stream", "application/binary", "application/vnd.apache.arrow.stream",
    "application/vnd.apache.parquet", "application/x-ndjson", "application/jsonl", "text/event-stream",
    "text/plain", "text/html", "text/csv",
})  # fmt: skip
#: Where the state of a request has the value of its body.
DOCUMENT: Final = "document"
#: What an upload may have besides its file.
_FORM_BYTES: Final = 64 << 10
#: Documents longer than this are read in a thread, so that other requests go on.
_LARGE_BYTES: Final = 128 << 10
#: Connections that send a body that is not wanted are not used again.
_CLOSE: Final = {"Connection": "close"}


class Bodies:
    """Reads and writes bodies.

    :param options: the limits.
    """

    def __init__(self, options: GatewaySettings) -> None:
        self._options = options
        self._in_memory = 0
        #: Documents of msgpack show how much memory they take only while they are read, so one is read at a time.
        self._unpacking = asyncio.Lock()

    def layer(self, app: ASGIApp) -> ASGIApp:
        """The application that gets bodies it can use."""

        async def call(scope: Scope, receive: Receive, send: Send) -> None:
            if scope["type"] != "http":
                await app(scope, receive, send)
                return
            headers = Headers(scope=scope)
            if _wants_msgpack(headers):
                send = _Packed(send).send
            kind = headers.get("content-type", "").partition(";")[0].strip().lower()
            if not _has_body(headers):
                await app(scope, receive, send)
            elif kind in UPLOADS:
                await self._upload(app, scope, receive, send, headers)
            elif kind == JSON or kind in MSGPACK:
                await self._document(app, scope, receive, send, headers, packed=kind != JSON)
            else:
                wanted = f"send {JSON}, application/msgpack, or a file as multipart/form-data"
                raise Problem(415, "unsupported_media_type", f"the body is {kind or 'of no type'!r}; {wanted}",
                              headers=_CLOSE)  # fmt: skip

        return call

    async def _document(
        self, app: ASGIApp, scope: Scope, receive: Receive, send: Send, headers: Headers, *, packed: bool
    ) -> None:
        reserved = 0
        chunks: list[bytes] = []

        def reserve(size: int) -> None:
            nonlocal reserved
            if self._in_memory + size - reserved > self._options.max_bodies_bytes:
                raise Problem(
                    429, "busy", "the gateway has too many bodies in memory; try again",
                    headers={**_CLOSE, "Retry-After": "1"},
                )  # fmt: skip
            self._in_memory += size - reserved
            reserved = size

        try:
            _check_size(_declared(headers), self._options.max_body_bytes)
            reserve(_declared(headers))
            size, more = 0, True
            while more:
                message = await receive()
                if message["type"] == "http.disconnect":
                    return  # nobody waits for an answer
                chunks.append(message.get("body", b""))
                size, more = size + len(chunks[-1]), message.get("more_body", False)
                _check_size(size, self._options.max_body_bytes)
                reserve(max(size, reserved))
            body = b"".join(chunks)
            chunks.clear()
            if packed:
                body = await self._unpack(body)
            values = await _in_thread_if_large(memory_of, body)
            if values > self._options.max_bodies_bytes:
                raise too_many_values(self._options.max_bodies_bytes)
            reserve(len(body) + values)
            document = await _in_thread_if_large(read_json, body)
            scope = _as_json(scope, len(body))
            # For routes that would read it once more: of many short requests, reading is a good part.
            scope["state"] = {**scope.get("state", {}), DOCUMENT: document}
            await app(scope, _Once(body, receive).receive, send)
        finally:
            self._in_memory -= reserved

    async def _unpack(self, body: bytes) -> bytes:
        limit = self._options.max_bodies_bytes
        if len(body) <= _LARGE_BYTES:
            return msgpack_to_json(body, limit)
        async with self._unpacking:
            return await asyncio.to_thread(msgpack_to_json, body, limit)

    async def _upload(self, app: ASGIApp, scope: Scope, receive: Receive, send: Send, headers: Headers) -> None:
        limit, size, started = self._options.max_upload_bytes + _FORM_BYTES, 0, False
        refused: Problem | None = None
        _check_size(_declared(headers), limit)

        async def count(*, _gone: Message = {"type": "http.disconnect"}) -> Message:  # noqa: B006
            nonlocal size, refused
            if refused is not None:
                return _gone
            message = await receive()
            size += len(message.get("body", b""))
            try:
                _check_size(size, limit)
            except Problem as problem:
                refused = problem
                return _gone
            return message

        async def answer(message: Message) -> None:
            nonlocal started
            if refused is None or started:
                started = True
                await send(message)

        try:
            await app(scope, count, answer)
        except Exception:
            if refused is None:
                raise
        if refused is not None and not started:
            await response_to(refused, scope["path"])(scope, receive, send)


class _Once:
    """A body that was read, and then what the connection says."""

    def __init__(self, body: bytes, rest: Receive) -> None:
        self._body: bytes | None = body
        self._rest = rest

    async def receive(self) -> Message:
        """The next message."""
        if self._body is None:
            return await self._rest()
        body, self._body = self._body, None
        return {"type": "http.request", "body": body, "more_body": False}


class _Packed:
    """Sends answers in JSON as msgpack."""

    def __init__(self, send: Send) -> None:
        self._send = send
        self._start: Message | None = None
        self._chunks: list[bytes] = []

    async def send(self, message: Message) -> None:
        """Send a message, or wait for the rest of it."""
        if message["type"] == "http.response.start" and MutableHeaders(scope=message).get("content-type") in (
            JSON, PROBLEM,
        ):  # fmt: skip
            self._start = message
        elif self._start is None:
            await self._send(message)
        else:
            self._chunks.append(message.get("body", b""))
            if not message.get("more_body", False):
                body = b"".join(self._chunks)
                body = json_to_msgpack(body) if body else body
                headers = MutableHeaders(scope=self._start)
                headers["content-type"], headers["content-length"] = "application/msgpack", str(len(body))
                await self._send(self._start)
                await self._send({"type": "http.response.body", "body": body})


async def _in_thread_if_large(read: Callable[[bytes], T], body: bytes) -> T:
    return await asyncio.to_thread(read, body) if len(body) > _LARGE_BYTES else read(body)


def _as_json(scope: Scope, length: int) -> Scope:
    kept = [pair for pair in scope["headers"] if pair[0] not in (b"content-type", b"content-length")]
    return {**scope, "headers": [*kept, (b"content-type", JSON.encode()), (b"content-length", str(length).encode())]}


def _has_body(headers: Headers) -> bool:
    return "transfer-encoding" in headers or headers.get("content-length", "0").strip("0") != ""


def _declared(headers: Headers) -> int:
    length = headers.get("content-length", "0")
    return int(length) if length.isdigit() else 0


def _check_size(size: int, limit: int) -> None:
    if size > limit:
        raise Problem(
            HTTPStatus.REQUEST_ENTITY_TOO_LARGE, "too_large", f"the body is longer than {limit} bytes; send less",
            headers=_CLOSE,
        )  # fmt: skip


def _wants_msgpack(headers: Headers) -> bool:
    """Whether the caller takes msgpack, and not rather JSON.

    :raises Problem: 406; it takes nothing that the gateway writes.
    """
    accepted = dict(_quality(part) for part in headers.get("accept", "*/*").split(","))
    kinds = {kind for kind, quality in accepted.items() if quality > 0}
    if not kinds & ANSWERS and not any(kind in kinds for kind in ("*/*", "application/*", "text/*")):
        raise Problem(406, "not_acceptable", f"accept {JSON} or application/msgpack")
    best = max((accepted.get(kind, 0.0) for kind in MSGPACK), default=0.0)
    return best > 0 and best >= accepted.get(JSON, 0.0)


def _quality(part: str) -> tuple[str, float]:
    kind, *parameters = (each.strip() for each in part.lower().split(";"))
    for parameter in parameters:
        if parameter.startswith("q="):
            try:
                return kind, float(parameter[2:])
            except ValueError:
                return kind, 0.0
    return kind, 1.0
