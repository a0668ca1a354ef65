"""The endpoints of one producer: checks of what is given, and secrets."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Final

from longshore.broker.webhooks.destination import parse_url
from longshore.broker.webhooks.settings import WebhookSettings
from longshore.broker.webhooks.signing import make_secret
from longshore.shared.errors import InvalidInput, UnknownWebhook
from longshore.shared.ledger.gateway.webhooks import MAX_ENDPOINTS, Delivery, EventType, WebhookEndpoint, Webhooks

MAX_PATTERNS: Final = 20
MAX_DESCRIPTION: Final = 1000
_PATTERN: Final = re.compile(r"\*|[a-z][a-z_]*\.(\*|[a-z_]+)")
_ENDPOINT_ID: Final = re.compile(r"we_[0-9a-f]{32}")
_EVENT_ID: Final = re.compile(r"evt_[0-9a-f]{32}")


@dataclass(frozen=True)
class NewEndpoint:
    """An endpoint with a new secret, which is shown once, and cannot be read again."""

    endpoint: WebhookEndpoint
    secret: str = field(repr=False)


class WebhookEndpoints:
    """The endpoints of one producer.

    :param webhooks: of a ledger that may act for the producer.
    :param settings: where webhooks may lead, so that a URL is refused at once to which nothing would be sent.
    """

    def __init__(self, webhooks: Webhooks, producer: str, settings: WebhookSettings) -> None:
        self._webhooks = webhooks
        self._producer = producer
        self._settings = settings

    def create(self, url: str, *, types: Sequence[str] = (), description: str = "") -> NewEndpoint:
        """Add an endpoint.

        :param url: to which events are sent; begins with ``https://``.
        :param types: types of events that it gets, such as ``job.failed``, or patterns such as ``job.*``; empty for
            all.
        :raises InvalidInput: a value is wrong, or the producer has :data:`MAX_ENDPOINTS`.
        """
        self._check(url, types, description)
        secret = make_secret()
        id = self._webhooks.create(self._producer, url, secret, types=types, description=description)
        if id is None:
            raise InvalidInput("url", f"there are {MAX_ENDPOINTS} endpoints, which is the most; delete one first")
        return NewEndpoint(self.get(id), secret)

    def all(self) -> list[WebhookEndpoint]:
        """All of them, the oldest first."""
        return self._webhooks.endpoints(self._producer)

    def get(self, id: str) -> WebhookEndpoint:
        """:raises UnknownWebhook: there is no such endpoint."""
        found = self._webhooks.read(self._producer, id) if _ENDPOINT_ID.fullmatch(id) else None
        if found is None:
            raise _unknown(id)
        return found

    def change(
        self,
        id: str,
        *,
        url: str | None = None,
        types: Sequence[str] | None = None,
        description: str | None = None,
    ) -> WebhookEndpoint:
        """Change what is not ``None``.

        :raises InvalidInput: a value is wrong.
        :raises UnknownWebhook: there is no such endpoint.
        """
        self._check(url, types or (), description or "")
        self.get(id)
        self._webhooks.change(self._producer, id, url=url, types=types, description=description)
        return self.get(id)

    def delete(self, id: str) -> None:
        """Delete an endpoint with its log of deliveries; what was not delivered is not sent any more.

        :raises UnknownWebhook: there is no such endpoint.
        """
        if not _ENDPOINT_ID.fullmatch(id) or not self._webhooks.delete(self._producer, id):
            raise _unknown(id)

    def enable(self, id: str) -> WebhookEndpoint:
        """Send events again to an endpoint that was disabled, from now on.

        :raises UnknownWebhook: there is no such endpoint.
        """
        self.get(id)
        self._webhooks.enable(self._producer, id)
        return self.get(id)

    def rotate(self, id: str) -> NewEndpoint:
        """Replace the secret. For 24 hours messages are also signed with the one before.

        :raises UnknownWebhook: there is no such endpoint.
        """
        endpoint, secret = self.get(id), make_secret()
        self._webhooks.rotate(id, secret)
        return NewEndpoint(endpoint, secret)

    def test(self, id: str) -> str:
        """Send an event of type ``webhook.test``. Returns its id.

        :raises UnknownWebhook: there is no such endpoint.
        :raises InvalidInput: it is disabled.
        """
        self._check_enabled(id)
        return self._webhooks.add_test(self._producer, id, {"endpoint": id})

    def redeliver(self, id: str, *, event: str | None = None, since: datetime | None = None) -> int:
        """Send events again, now. Returns how many.

        :param event: the id of one event; or
        :param since: all events since then that the endpoint has subscribed to.
        :raises UnknownWebhook: there is no such endpoint.
        :raises InvalidInput: it is disabled, there is no such event, or not one of the two was given.
        """
        self._check_enabled(id)
        if since is not None and event is None:
            return self._webhooks.redeliver_since(self._producer, id, since)
        if event is None or since is not None:
            raise InvalidInput("event", "give the id of an event, or a time since which to send all, and not both")
        if not _EVENT_ID.fullmatch(event) or not self._webhooks.redeliver(self._producer, id, event):
            raise InvalidInput("event", f"there is no event {event[:80]!r}; events are kept for 30 days")
        return 1

    def deliveries(
        self, id: str, *, state: str | None = None, before: tuple[datetime, str] | None = None, limit: int
    ) -> list[Delivery]:
        """The log of deliveries, the newest first.

        :param state: only those that are ``pending``, ``delivered`` or ``failed``.
        :param before: the time and the event of the last one that was listed before.
        :raises UnknownWebhook: there is no such endpoint.
        """
        self.get(id)
        return self._webhooks.deliveries(id, state=state, before=before, limit=limit)

    def _check_enabled(self, id: str) -> None:
        if self.get(id).disabled_at is not None:
            raise InvalidInput("webhook", f"{id} is disabled; enable it first")

    def _check(self, url: str | None, types: Sequence[str], description: str) -> None:
        if url is not None:
            parse_url(url, self._settings)
        if len(types) > MAX_PATTERNS:
            raise InvalidInput("types", f"{len(types)} patterns; write up to {MAX_PATTERNS}, or none for all types")
        for type in types:
            if not _PATTERN.fullmatch(type) or not any(_matches(type, each) for each in EventType):
                raise InvalidInput("types", f"{type[:80]!r}: write some of {', '.join(EventType)}, or job.*, batch.*")
        if len(description) > MAX_DESCRIPTION or "\0" in description:
            raise InvalidInput("description", f"write up to {MAX_DESCRIPTION:,} characters")


def _matches(pattern: str, type: str) -> bool:
    return type.startswith(pattern.removesuffix("*")) if pattern.endswith("*") else type == pattern


def _unknown(id: str) -> UnknownWebhook:
    return UnknownWebhook("webhook", f"there is no endpoint {id[:80]!r}")
