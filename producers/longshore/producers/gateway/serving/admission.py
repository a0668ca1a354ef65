"""Admission: how many requests are in progress, how many wait for that, and how they end when the gateway stops."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import Final

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from longshore.producers.gateway.access.shown_token import shown_token
from longshore.producers.gateway.problems import Problem
from longshore.producers.gateway.serving.fair_slots import FairSlots
from longshore.producers.gateway.settings import GatewaySettings

#: What answers however much there is to do.
_ALWAYS: Final = ("/livez", "/readyz")
_STREAM: Final = b"text/event-stream"
#: Seconds after which a caller may try again, if the gateway is busy or stops.
_RETRY_AFTER: Final = {"Retry-After": "1"}


@dataclass(eq=False)
class _Admitted:
    """A request in progress."""

    task: asyncio.Task[None]
    caller: str
    has_slot: bool = True
    is_started: bool = False
    is_stream: bool = False
    is_done: bool = False


class Admission:
    """Lets a number of requests in at once. The next ones wait in a short queue, and the others are refused at once.
    What is there is shared between the tokens that callers show, valid or not.

    :param options: the numbers.
    """

    def __init__(self, options: GatewaySettings) -> None:
        self._options = options
        self._slots = FairSlots(options.max_requests, options.max_waiting)
        self._running: set[_Admitted] = set()
        #: Set when the gateway begins to stop: whatever waits for something should answer now.
        self.stopping = asyncio.Event()

    def layer(self, app: ASGIApp) -> ASGIApp:
        """The application behind the admission."""

        async def call(scope: Scope, receive: Receive, send: Send) -> None:
            if scope["type"] != "http" or scope["path"] in _ALWAYS:
                await app(scope, receive, send)
                return
            caller = shown_token(scope)
            if not await self._slots.acquire(caller, self._options.admission_s):
                raise Problem(429, "busy", "the gateway has too much to do; try again", headers=_RETRY_AFTER)
            await self._run(caller, app, scope, receive, send)

        return call

    def stop(self) -> None:
        """End the streams of events, whose callers open them again elsewhere."""
        self.stopping.set()
        for request in self._running:
            if request.is_stream:
                request.task.cancel()

    def end_all(self) -> None:
        """Answer those that were not answered yet."""
        for request in self._running:
            if not request.is_started:
                request.task.cancel()

    async def _run(self, caller: str, app: ASGIApp, scope: Scope, receive: Receive, send: Send) -> None:
        task = asyncio.current_task()
        assert task is not None
        request = _Admitted(task, caller)

        async def follow(message: Message) -> None:
            if message["type"] == "http.response.start":
                request.is_started = True
                kind = dict(message["headers"]).get(b"content-type", b"")
                request.is_stream = kind.startswith(_STREAM)
                if request.is_stream:  # it waits for events for hours, and is one of the connections that are bounded
                    self._free(request)
            elif not message.get("more_body", False):
                request.is_done = True
            await send(message)
            if request.is_stream and self.stopping.is_set() and not request.is_done:
                request.task.cancel()

        self._running.add(request)
        try:
            await app(scope, receive, follow)
        except asyncio.CancelledError:
            if not self.stopping.is_set() or request.is_done or (request.is_started and not request.is_stream):
                raise
            if not request.is_started:
                raise Problem(503, "stopping", "the gateway stops; try again", headers=_RETRY_AFTER) from None
            await send({"type": "http.response.body", "body": b"", "more_body": False})
        finally:
            self._running.discard(request)
            self._free(request)

    def _free(self, request: _Admitted) -> None:
        """Let the next request in."""
        if request.has_slot:
            request.has_slot = False
            self._slots.release(request.caller)
