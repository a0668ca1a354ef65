"""The server: uvicorn with the limits of the gateway, its end, and TLS."""

from __future__ import annotations

import asyncio
import logging
import os
import signal
import socket
import ssl
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from types import FrameType
from typing import Final

import uvicorn
from starlette.types import ASGIApp

from longshore.producers.gateway.serving.admission import Admission
from longshore.producers.gateway.serving.protocol import GatewayProtocol
from longshore.producers.gateway.settings import GatewaySettings
from longshore.shared.errors import InvalidInput

logger = logging.getLogger(__name__)

#: Seconds before the end of the grace time at which requests that were not answered are answered with 503.
_LAST_WORDS_S: Final = 1.0


def serve(app: ASGIApp, admission: Admission, options: GatewaySettings, *, address: str, port: int) -> None:
    """Serve until SIGTERM or SIGINT, then finish what runs. A second signal ends the process at once.

    :raises InvalidInput: the address cannot be listened on, or the certificate cannot be used.
    """
    tls = None if options.tls_certificate is None else _load_tls(options)
    config = uvicorn.Config(
        app,
        http=partial(GatewayProtocol, options=options),  # type: ignore[arg-type]
        ws="none",
        lifespan="on",
        log_config=None,
        access_log=False,
        server_header=False,
        proxy_headers=False,
        timeout_keep_alive=max(1, round(options.idle_s)),
        timeout_graceful_shutdown=max(1, round(options.shutdown_s)),
        ssl_context_factory=None if tls is None else lambda config, default: tls,
        backlog=2048,
    )
    with _listen(address, port) as listener:
        scheme = "http" if tls is None else "https"
        logger.info("the gateway listens on %s://%s:%d", scheme, address, listener.getsockname()[1])
        _Server(config, admission, options, tls).run(sockets=[listener])
    logger.info("the gateway stopped")


class _Server(uvicorn.Server):
    """uvicorn's server, which ends as a process of Longshore does: with the exit code 0 after SIGTERM."""

    def __init__(
        self, config: uvicorn.Config, admission: Admission, options: GatewaySettings, tls: ssl.SSLContext | None
    ) -> None:
        super().__init__(config)
        self._admission = admission
        self._options = options
        self._tls = tls

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Handle the signals while it serves."""
        handlers = {number: signal.signal(number, self.handle_exit) for number in (signal.SIGTERM, signal.SIGINT)}
        handlers[signal.SIGHUP] = signal.signal(signal.SIGHUP, self._reload)
        try:
            yield
        finally:
            for number, handler in handlers.items():
                signal.signal(number, handler)

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        """Begin to stop; at the second signal, end."""
        if self.should_exit:
            os._exit(128 + sig)
        self.should_exit = True

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """Accept nothing more, end the streams, finish the requests, and answer those that are late with 503."""
        self._admission.stop()
        late = asyncio.get_running_loop().call_later(
            max(self._options.shutdown_s - _LAST_WORDS_S, self._options.shutdown_s / 2), self._admission.end_all
        )
        await super().shutdown(sockets)
        late.cancel()

    def _reload(self, sig: int, frame: FrameType | None) -> None:
        """Use the files of the certificate as they are now, for new connections."""
        if self._tls is None:
            return
        try:
            _load_chain(self._tls, self._options)
            logger.info("the certificate was read again")
        except InvalidInput as error:
            logger.error("the certificate stays as it was: %s", error)


def _load_tls(options: GatewaySettings) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.set_alpn_protocols(["http/1.1"])
    _load_chain(context, options)
    return context


def _load_chain(context: ssl.SSLContext, options: GatewaySettings) -> None:
    assert options.tls_certificate is not None
    try:
        # Checked apart: a key that does not fit must not leave half of the new pair behind.
        for each in (ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER), context):
            each.load_cert_chain(options.tls_certificate, options.tls_key, password="")
    except (OSError, ssl.SSLError) as error:
        files = f"{options.tls_certificate} and {options.tls_key}"
        raise InvalidInput(
            "LONGSHORE_GATEWAY_TLS_CERTIFICATE", f"{files}: no certificate with its key, in PEM ({error})"
        ) from None


def _listen(address: str, port: int) -> socket.socket:
    try:
        family, kind, number, _, name = socket.getaddrinfo(address, port, type=socket.SOCK_STREAM)[0]
        listener = socket.socket(family, kind, number)
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind(name)
    except OSError as error:
        raise InvalidInput("--port", f"cannot listen on {address}:{port}: {error.strerror}; give another") from None
    return listener
