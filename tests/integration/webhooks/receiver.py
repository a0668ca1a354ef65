"""A receiver of webhooks: a real HTTP server that answers each path as a test wants it."""

from __future__ import annotations

import json
import ssl
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from pydantic import JsonValue

from tests.waiting import TIMEOUT_S, wait_until


@dataclass(frozen=True)
class Received:
    """A message."""

    path: str
    #: By lower-case names.
    headers: Mapping[str, str]
    body: bytes

    @property
    def event(self) -> Mapping[str, JsonValue]:
        return dict(json.loads(self.body))

    @property
    def id(self) -> str:
        return self.headers["webhook-id"]


@dataclass
class Receiver:
    """Answers 204, but for the paths in ``answers``: a status with a header, or the raw bytes of an answer."""

    url: str = ""
    answers: dict[str, int | bytes] = field(default_factory=dict)
    #: Where a redirect leads.
    location: str = ""
    messages: list[Received] = field(default_factory=list)
    #: Requests to ``/hang`` wait for it.
    released: threading.Event = field(default_factory=threading.Event)

    def at(self, path: str) -> list[Received]:
        """The messages to a path."""
        return [each for each in self.messages if each.path == path]

    def wait(self, path: str, count: int) -> list[Received]:
        """The messages to a path, when so many have come."""
        wait_until(lambda: len(self.at(path)) >= count, f"{count} messages to {path}")
        return self.at(path)


@contextmanager
def receiving(tls: ssl.SSLContext | None = None) -> Iterator[Receiver]:
    """A receiver that runs until the end."""
    receiver = Receiver()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            length = int(self.headers["Content-Length"])
            body = self.rfile.read(length)
            if len(body) < length:  # the sender was killed in the middle of it: no message came
                self.close_connection = True
                return
            headers = {name.lower(): value for name, value in self.headers.items()}
            receiver.messages.append(Received(self.path, headers, body))
            if self.path.startswith("/hang"):
                receiver.released.wait(TIMEOUT_S)
            answer = receiver.answers.get(self.path, 204)
            if isinstance(answer, bytes):
                self.wfile.write(answer)
                self.close_connection = True
                return
            self.send_response(answer)
            if 300 <= answer < 400:
                self.send_header("Location", receiver.location)
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, format: str, *args: object) -> None:
            """Nothing."""

    class Server(ThreadingHTTPServer):
        daemon_threads = True
        request_queue_size = 128

        def handle_error(self, request: object, client_address: object) -> None:
            """A sender that breaks off is no error."""

    with Server(("127.0.0.1", 0), Handler) as server:
        if tls is not None:
            server.socket = tls.wrap_socket(server.socket, server_side=True)
        receiver.url = f"http{'' if tls is None else 's'}://127.0.0.1:{server.server_port}"
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        try:
            yield receiver
        finally:
            receiver.released.set()
            server.shutdown()
            thread.join()
