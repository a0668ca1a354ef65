"""The HTTP server: ``/metrics`` for Prometheus, and the health checks ``/livez`` and ``/readyz``."""

from __future__ import annotations

import socketserver
import threading
from collections.abc import Callable
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler
from typing import Final, TypeAlias

from longshore.broker.monitoring.address import MetricsAddress

#: Seconds that a client has to send its request.
REQUEST_TIMEOUT_S: Final = 5.0
TEXT: Final = "text/plain; charset=utf-8"

#: Returns what is wrong, or ``None``.
Check: TypeAlias = Callable[[], str | None]


class MetricsServer(socketserver.ThreadingTCPServer):
    """Listens from the start, and answers from :meth:`start` on, in threads of its own.

    :raises InvalidInput: the address is taken, or not of this machine.
    """

    allow_reuse_address = True
    daemon_threads = True

    def __init__(self, address: MetricsAddress) -> None:
        self.address_family = address.family
        try:
            super().__init__((address.host, address.port), _Handler)
        except OSError as error:
            raise address.refusal(error) from None
        self.pages: dict[str, Callable[[], tuple[HTTPStatus, str, bytes]]] = {}

    def start(self, metrics: Callable[[], tuple[str, bytes]], live: Check, ready: Check) -> None:
        """Answer from now on.

        :param metrics: the content type and the text of the metrics.
        :param live: why the process has to be restarted.
        :param ready: why the process does no work now.
        """

        def page() -> tuple[HTTPStatus, str, bytes]:
            return HTTPStatus.OK, *metrics()

        self.pages = {"/metrics": page, "/livez": lambda: _health(live), "/readyz": lambda: _health(ready)}
        threading.Thread(target=self.serve_forever, name="metrics", daemon=True).start()

    def stop(self) -> None:
        """Answer no more."""
        if self.pages:
            self.shutdown()
        self.server_close()

    def handle_error(self, request: object, client_address: object) -> None:
        """A client that breaks off is no error of this process."""


class _Handler(BaseHTTPRequestHandler):
    timeout = REQUEST_TIMEOUT_S
    server: MetricsServer

    def do_GET(self) -> None:
        page = self.server.pages.get(self.path.partition("?")[0])
        status, kind, body = (HTTPStatus.NOT_FOUND, TEXT, b"not found\n") if page is None else page()
        self.send_response(status)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:
        """Requests come every few seconds."""


def _health(check: Check) -> tuple[HTTPStatus, str, bytes]:
    problem = check()
    status = HTTPStatus.OK if problem is None else HTTPStatus.SERVICE_UNAVAILABLE
    return status, TEXT, f"{problem or 'ok'}\n".encode()
