"""HTTP on one connection: uvicorn's protocol on httptools, with limits that keep no slow caller waiting for ever."""

from __future__ import annotations

import asyncio
import json
from http import HTTPStatus
from typing import Final

from uvicorn.config import Config
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol
from uvicorn.server import ServerState

from longshore.producers.gateway.problems import MEDIA_TYPE, RETRY_AFTER_S
from longshore.producers.gateway.settings import GatewaySettings

#: Bytes of the line and the headers of a request.
MAX_HEADER_BYTES: Final = 64 << 10
#: Bytes for which the body of a request, or a caller who takes an answer, gets one second more.
BYTES_PER_SECOND: Final = 16 << 10
#: Requests that a connection may send before the answers to those before them. Each takes memory while it waits, also
#: without a token.
MAX_PIPELINED: Final = 100
#: Seconds in which the rest of a refused request is read and dropped, so that its caller sees the answer.
_LINGER_S: Final = 2.0


class GatewayProtocol(HttpToolsProtocol):
    """One connection.

    :param options: the limits.
    """

    def __init__(
        self,
        config: Config,
        server_state: ServerState,
        app_state: dict[str, object],
        _loop: asyncio.AbstractEventLoop | None = None,
        *,
        options: GatewaySettings,
    ) -> None:
        super().__init__(config, server_state, app_state, _loop)
        self._options = options
        self._in_headers = True
        #: Of headers that the parser has, and of those that are not complete.
        self._header_bytes = self._partial_bytes = 0
        self._messages = 0
        self._body_bytes = 0
        self._body_started = 0.0
        self._timer: asyncio.TimerHandle | None = None
        self._write_timer: asyncio.TimerHandle | None = None
        self._refused = False

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Start the time for the first request."""
        super().connection_made(transport)
        if len(self.connections) > self._options.max_connections:
            self._refuse(429, "busy", "too many connections are open; try again later")
            return
        self._timer = self.loop.call_later(self._options.headers_s, self._headers_late)

    def connection_lost(self, exc: Exception | None) -> None:
        """Forget the connection."""
        self._stop_timer()
        if self._write_timer is not None:
            self._write_timer.cancel()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        """Feed the parser, unless the request was refused; its rest is dropped."""
        if self._refused or self.transport.is_closing():
            return
        if self._in_headers and self._timer is None:
            self._timer = self.loop.call_later(self._options.headers_s, self._headers_late)
        messages = self._messages if self._in_headers else None
        super().data_received(data)
        if self._in_headers and self._messages == messages:
            self._partial_bytes += len(data)
            if self._partial_bytes > MAX_HEADER_BYTES:
                self._refuse_headers()

    def on_message_begin(self) -> None:
        """Count anew."""
        self._header_bytes = 0
        super().on_message_begin()

    def on_url(self, url: bytes) -> None:
        """Count it."""
        super().on_url(url)
        self._count_header(len(url))

    def on_header(self, name: bytes, value: bytes) -> None:
        """Count it; those behind a body, too."""
        self._count_header(len(name) + len(value))
        super().on_header(name, value)

    def on_headers_complete(self) -> None:
        """Start the time for the body."""
        self._in_headers = False
        self._partial_bytes = self._body_bytes = 0
        self._stop_timer()
        if self._refused:
            return
        if len(self.pipeline) >= MAX_PIPELINED:
            self._refused = True
            self.transport.abort()  # an error would stand in the middle of an answer
            return
        super().on_headers_complete()
        self.cycle.transport = _AnsweringTransport(self, self.transport)  # type: ignore[assignment]
        self._body_started = self.loop.time()
        self._timer = self.loop.call_later(self._options.body_s, self._body_late)

    def on_body(self, body: bytes) -> None:
        """Count it."""
        self._body_bytes += len(body)
        super().on_body(body)

    def on_message_complete(self) -> None:
        """Wait for the next request."""
        self._stop_timer()
        self._in_headers = True
        self._messages += 1
        if not self._refused:
            super().on_message_complete()

    def on_response_complete(self) -> None:
        """Read on when the requests that wait are answered."""
        super().on_response_complete()
        if self.pipeline:
            self.flow.pause_reading()

    def pause_writing(self) -> None:
        """Start the time in which the caller must take something."""
        super().pause_writing()
        if self._write_timer is None:
            self._await_progress(self.transport.get_write_buffer_size())

    def resume_writing(self) -> None:
        """The caller has taken enough."""
        super().resume_writing()
        if self._write_timer is not None:
            self._write_timer.cancel()
            self._write_timer = None

    def send_400_response(self, msg: str) -> None:
        """Answer what is no HTTP."""
        self._refuse(400, "bad_request", "this is no valid HTTP request")

    def _count_header(self, size: int) -> None:
        self._header_bytes += size
        if self._header_bytes > MAX_HEADER_BYTES:
            self._refuse_headers()

    def _refuse_headers(self) -> None:
        self._refuse(431, "headers_too_large", f"the headers are longer than {MAX_HEADER_BYTES} bytes; send fewer")

    def _headers_late(self) -> None:
        self._timer = None
        if self._partial_bytes == 0:
            self.transport.close()
        else:
            self._refuse(408, "timeout", f"the headers took more than {self._options.headers_s:g} s")

    def _body_late(self) -> None:
        options, now = self._options, self.loop.time()
        if self.flow.read_paused:  # the gateway itself is late
            self._body_started = now
        due = self._body_started + options.body_s + self._body_bytes / BYTES_PER_SECOND
        if now < due:
            self._timer = self.loop.call_later(due - now, self._body_late)
            return
        self._timer = None
        self._refuse(408, "timeout", f"the body took more than {options.body_s:g} s and one for each 16 KiB")

    def _await_progress(self, waiting: int) -> None:
        def check() -> None:
            left = self.transport.get_write_buffer_size()
            if waiting - left < BYTES_PER_SECOND:
                self.transport.abort()
            else:
                self._await_progress(left)

        self._write_timer = self.loop.call_later(self._options.write_s, check)

    def _refuse(self, status: int, code: str, detail: str) -> None:
        """Answer with an error if nothing was answered yet, and end the connection."""
        self._stop_timer()
        if self._refused or self.transport.is_closing():
            return
        self._refused = True
        cycle = self.cycle
        if cycle is None or cycle.response_complete or not cycle.response_started:
            self.transport.write(_problem(status, code, detail))
        if cycle is not None and not cycle.response_complete:
            cycle.disconnected = True
            cycle.message_event.set()
        self.linger()

    def linger(self) -> None:
        """End the connection while its caller may still send: at once, the system would drop the answer, too."""
        self._refused = True
        if self.transport.can_write_eof():
            self.transport.write_eof()
        self.flow.resume_reading()
        self.loop.call_later(_LINGER_S, self.transport.abort)

    def _stop_timer(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None


class _AnsweringTransport:
    """What the answer of one request is written to."""

    def __init__(self, protocol: GatewayProtocol, transport: asyncio.Transport) -> None:
        self._protocol = protocol
        self._transport = transport

    def write(self, data: bytes) -> None:
        """Write a part of the answer."""
        self._transport.write(data)

    def is_closing(self) -> bool:
        """Whether nothing can be written any more."""
        return self._transport.is_closing()

    def close(self) -> None:
        """End the connection after the answer."""
        if self._protocol.cycle.more_body:
            self._protocol.linger()
        else:
            self._transport.close()


def _problem(status: int, code: str, detail: str) -> bytes:
    phrase = HTTPStatus(status).phrase
    content = {"type": "about:blank", "title": phrase, "status": status, "code": code, "detail": detail}
    body = json.dumps(content).encode()
    retry = f"retry-after: {RETRY_AFTER_S}\r\n" if status == HTTPStatus.TOO_MANY_REQUESTS else ""
    head = (
        f"HTTP/1.1 {status} {phrase}\r\ncontent-type: {MEDIA_TYPE}\r\ncontent-length: {len(body)}\r\n"
        f"{retry}connection: close\r\n\r\n"
    )
    return head.encode() + body
