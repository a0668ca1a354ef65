"""Server-sent events: a stream of named events with a JSON document each."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Final

from fastapi.responses import StreamingResponse
from starlette.types import Receive, Scope, Send

from longshore.producers.documents.json_text import to_json

EVENT_STREAM: Final = "text/event-stream"
#: Seconds without an event after which a comment shows both ends, and what is between them, that the other is there.
KEEPALIVE_S: Final = 15.0
_KEEPALIVE: Final = b": keep-alive\n\n"
#: A proxy must neither keep events nor wait for more of them.
_HEADERS: Final = {"Cache-Control": "no-store", "X-Accel-Buffering": "no"}


def event(name: str, document: object) -> bytes:
    """One event."""
    return f"event: {name}\ndata: {to_json(document)}\n\n".encode()


class EventStream(StreamingResponse):
    """An answer that is a stream of events.

    :param events: each as :func:`event` writes it.
    :param close: called once the answer has ended, however it has, and also if it never began.
    """

    def __init__(self, events: AsyncIterator[bytes], close: Callable[[], Awaitable[None]]) -> None:
        super().__init__(_with_keepalive(events), media_type=EVENT_STREAM, headers=_HEADERS)
        self._close = close

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Send the answer."""
        try:
            await super().__call__(scope, receive, send)
        finally:
            await self._close()


async def _with_keepalive(events: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
    following: asyncio.Future[bytes] | None = None
    try:
        while True:
            following = following or asyncio.ensure_future(anext(events))
            done, _ = await asyncio.wait([following], timeout=KEEPALIVE_S)
            if not done:
                yield _KEEPALIVE
                continue
            try:
                chunk = following.result()
            except StopAsyncIteration:
                return
            following = None
            yield chunk
    finally:
        if following is not None:
            following.cancel()
