"""The access log: one line for every request."""

from __future__ import annotations

import logging
import secrets
import time
from typing import Final

from starlette.datastructures import MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from longshore.broker.logs import with_fields
from longshore.shared.ledger.gateway.tokens import ValidToken

logger = logging.getLogger("longshore.producers.gateway.access")

#: The header with the id of a request, which its line in the log has, too.
REQUEST_ID: Final = "X-Request-Id"
#: Of a path in the log.
_MAX_PATH: Final = 300
#: Paths that are asked for all the time.
_QUIET: Final = ("/livez", "/readyz")


def logged(app: ASGIApp) -> ASGIApp:
    """The application with an access log. A line has no query, no header and no body."""

    async def call(scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await app(scope, receive, send)
            return
        request_id, began = f"req_{secrets.token_hex(8)}", time.monotonic()
        status, received, sent = 0, 0, 0

        async def count_received() -> Message:
            nonlocal received
            message = await receive()
            received += len(message.get("body", b""))
            return message

        async def count_sent(message: Message) -> None:
            nonlocal status, sent
            if message["type"] == "http.response.start":
                status = message["status"]
                MutableHeaders(scope=message).setdefault(REQUEST_ID, request_id)
            sent += len(message.get("body", b""))
            await send(message)

        try:
            await app(scope, count_received, count_sent)
        finally:
            _log(scope, request_id, status, time.monotonic() - began, received, sent)

    return call


def _log(scope: Scope, request_id: str, status: int, seconds: float, received: int, sent: int) -> None:
    level = logging.DEBUG if scope["path"] in _QUIET else logging.INFO
    if not logger.isEnabledFor(level):
        return
    token = scope.get("state", {}).get("token")
    # Percent-encoded as it came, so that nothing in it can look like a line of its own.
    path = scope["raw_path"].decode("ascii", "replace")[:_MAX_PATH]
    fields: dict[str, str | int | float] = {
        **{"method": scope["method"], "path": path, "status": status, "duration_ms": round(seconds * 1000, 1)},
        **{"received": received, "sent": sent, "request": request_id},
    }
    if isinstance(token, ValidToken):
        fields |= {"token": token.id, "producer": token.producer}
    text = " ".join(f"{name}={value}" for name, value in fields.items() if name not in ("method", "path", "status"))
    logger.log(level, "%s %s %s %s", scope["method"], path, status or "cut", text, extra=with_fields(fields))
