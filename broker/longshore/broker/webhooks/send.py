"""One try to deliver an event, and what becomes of it."""

from __future__ import annotations

import ssl
import time
from collections.abc import Callable
from datetime import UTC, datetime
from http import HTTPStatus
from http.client import HTTPException
from typing import Final

from longshore.broker.webhooks.destination import LookUp, Refused, look_up, parse_url, resolve
from longshore.broker.webhooks.message import body_of
from longshore.broker.webhooks.post import Deadline, post
from longshore.broker.webhooks.schedule import pause_after
from longshore.broker.webhooks.settings import WebhookSettings
from longshore.broker.webhooks.signing import signed_headers
from longshore.shared.errors import InvalidInput
from longshore.shared.ledger.gateway.webhook_deliveries import ClaimedDelivery, EndedTry, TryOutcome

#: Seconds that an endpoint has to answer, with the connection made in them.
ANSWER_TIMEOUT_S: Final = 15.0
#: Characters of an error that are recorded.
MAX_ERROR_LENGTH: Final = 200


class Sender:
    """Sends events. Threads can share one.

    :param settings: where webhooks may lead.
    :param look_up: finds the addresses of a name.
    :param timeout_s: seconds that an endpoint has to answer.
    :param tls: verifies endpoints; default: with the certificates that the operating system trusts.
    """

    def __init__(
        self,
        settings: WebhookSettings,
        *,
        look_up: LookUp = look_up,
        timeout_s: float = ANSWER_TIMEOUT_S,
        tls: ssl.SSLContext | None = None,
        pause_after: Callable[[int], float | None] = pause_after,
    ) -> None:
        self._settings = settings
        self._look_up = look_up
        self._timeout_s = timeout_s
        self._tls = tls or ssl.create_default_context()
        self._pause_after = pause_after

    def send(self, delivery: ClaimedDelivery) -> EndedTry:
        """Send an event to an endpoint. Whatever happens is the result of the try."""
        started_at, start = datetime.now(UTC), time.monotonic()
        status, error = None, None
        try:
            status = self._post(delivery, int(started_at.timestamp()))
            error = _status_error(status)
        except Exception as failure:
            error = _reason(failure)[:MAX_ERROR_LENGTH]
        gone = status == HTTPStatus.GONE
        pause_s = None if error is None or gone else self._pause_after(delivery.attempt + 1)
        if error is None:
            outcome = TryOutcome.DELIVERED
        elif gone:
            outcome = TryOutcome.GONE
        else:
            outcome = TryOutcome.FAILED if pause_s is None else TryOutcome.RETRIED
        return EndedTry(
            delivery=delivery,
            outcome=outcome,
            started_at=started_at,
            duration_ms=round((time.monotonic() - start) * 1000),
            status=status,
            error=error,
            pause_s=pause_s,
        )

    def _post(self, delivery: ClaimedDelivery, timestamp: int) -> int:
        deadline = Deadline(self._timeout_s)
        destination = parse_url(delivery.url, self._settings)
        addresses = resolve(destination, self._settings, self._look_up)
        body = body_of(delivery)
        headers = {
            "Content-Type": "application/json",
            "User-Agent": "longshore-webhooks",
            **signed_headers(delivery.secrets, delivery.event_id, timestamp, body),
        }
        return post(destination, addresses, headers, body, tls=self._tls, deadline=deadline)


def _status_error(status: int) -> str | None:
    if 200 <= status < 300:
        return None
    try:
        phrase = f"HTTP {status} {HTTPStatus(status).phrase}"
    except ValueError:
        phrase = f"HTTP {status}"
    return f"{phrase}; redirects are not followed" if 300 <= status < 400 else phrase


def _reason(failure: Exception) -> str:
    """A short sentence for the log of deliveries, which the owner of the endpoint reads."""
    if isinstance(failure, TimeoutError):
        return "no answer in time"
    if isinstance(failure, ssl.SSLCertVerificationError):
        return f"the certificate is not valid: {failure.verify_message}"
    if isinstance(failure, Refused | InvalidInput):
        return str(failure)
    if isinstance(failure, OSError):
        return f"cannot connect: {failure.strerror or type(failure).__name__}"
    if isinstance(failure, HTTPException):
        return f"the answer is no HTTP: {type(failure).__name__}"
    return f"cannot be sent: {type(failure).__name__}"
