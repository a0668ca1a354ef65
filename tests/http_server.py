"""Real HTTP servers on this machine, for what reads from one."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


class Handler(BaseHTTPRequestHandler):
    """Answers GET and HEAD by :meth:`respond`, and logs nothing."""

    def respond(self) -> None:
        """Call :meth:`answer` once."""
        raise NotImplementedError

    def answer(self, status: int, body: bytes = b"", **headers: str) -> None:
        """Send a whole response; of a HEAD request, only its headers.

        :param headers: their names with ``_`` for ``-``.
        """
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name.replace("_", "-"), value)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if self.command == "GET":
            self.wfile.write(body)

    def do_GET(self) -> None:
        """As the base class wants it."""
        self.respond()

    def do_HEAD(self) -> None:
        """As the base class wants it."""
        self.respond()

    def log_message(self, format: str, *args: object) -> None:
        """Nothing."""


@contextmanager
def serving(handler: type[Handler]) -> Iterator[str]:
    """A server that runs until the end; its address, ``http://127.0.0.1:PORT``."""
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        # How often it looks whether it shall stop: by default, each server takes half a second to.
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_port}"
        finally:
            server.shutdown()
            thread.join()
