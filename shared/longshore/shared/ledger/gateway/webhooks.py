"""Webhooks: events that are sent to the endpoints of a producer.

An event is written in the transaction of what it tells of: by a trigger on ``jobs`` when a job ends, and by
:meth:`Webhooks.add_event` for other things. The relay delivers it afterwards, at least once, with the same id.
"""

from __future__ import annotations

import secrets
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import StrEnum
from typing import Final

from psycopg.types.json import Json
from pydantic import JsonValue

from longshore.shared.ledger import statements
from longshore.shared.ledger.database import Connection, Database, records
from longshore.shared.ledger.postgres.repeating import repeat_read

#: The most endpoints of a producer.
MAX_ENDPOINTS: Final = 10


class EventType(StrEnum):
    """What an event tells of. A job that is retried ends again, and then has another event."""

    JOB_SUCCEEDED = "job.succeeded"
    JOB_FAILED = "job.failed"
    JOB_CANCELLED = "job.cancelled"
    #: Its deadline has ended it.
    JOB_EXPIRED = "job.expired"
    BATCH_COMPLETED = "batch.completed"
    BATCH_FAILED = "batch.failed"
    BATCH_EXPIRED = "batch.expired"
    BATCH_CANCELLED = "batch.cancelled"


@dataclass(frozen=True)
class WebhookEndpoint:
    """A URL to which the events of a producer are sent."""

    id: str
    url: str
    #: Patterns of the types that it gets, such as ``job.*``; empty for all.
    types: Sequence[str]
    description: str
    created_at: datetime
    #: Nothing is sent to it since then; ``None`` if it is enabled.
    disabled_at: datetime | None
    disabled_reason: str | None
    #: Since when each try has failed; ``None`` if the last one has not.
    failing_since: datetime | None


@dataclass(frozen=True)
class Delivery:
    """An event that was, or is to be, sent to an endpoint."""

    event_id: str
    type: str
    #: ``pending``, ``delivered`` or ``failed``.
    state: str
    #: Tries that have ended, since it was last sent by hand.
    attempt: int
    #: ``None`` if there is no other.
    next_try_at: datetime | None
    #: The last tries, each with ``attempt``, ``at``, ``status``, ``duration_ms`` and ``error``.
    tries: Sequence[Mapping[str, JsonValue]]
    created_at: datetime


class Webhooks:
    """The part of the ledger with the endpoints of producers and their events."""

    def __init__(self, database: Database) -> None:
        self._database = database

    @staticmethod
    def add_event(conn: Connection, producer: str, type: str, data: Mapping[str, JsonValue]) -> None:
        """Write an event for the endpoints of a producer, in the transaction of what it tells of.

        Nothing is written if no endpoint has subscribed to the type.

        :param conn: within the caller's transaction.
        :param type: such as ``batch.completed``.
        :param data: what the event tells, without secrets: it leaves the cluster.
        """
        values = {"id": _new_id("evt"), "producer": producer, "type": type, "data": Json(data)}
        conn.execute(statements.gateway.webhooks.ADD_EVENT, values)

    def create(
        self, producer: str, url: str, secret: str, *, types: Sequence[str] = (), description: str = ""
    ) -> str | None:
        """Add an endpoint. Its values were checked.

        :returns: its id; ``None`` if the producer has :data:`MAX_ENDPOINTS`.
        """
        values = {
            **{"id": _new_id("we"), "producer": producer, "url": url, "types": list(types)},
            **{"description": description, "secret": secret, "max": MAX_ENDPOINTS},
        }

        def change(conn: Connection) -> str | None:
            row = conn.execute(statements.gateway.webhooks.ADD_ENDPOINT, values).fetchone()
            if row is None:
                return None
            conn.execute(statements.gateway.webhooks.ADD_SECRET, values)
            return str(row[0])

        return self._database.change(change)

    @repeat_read
    def endpoints(self, producer: str) -> list[WebhookEndpoint]:
        """The endpoints of a producer, the oldest first."""
        with self._database.connection() as conn:
            rows = records(conn, WebhookEndpoint)
            return rows.execute(statements.gateway.webhooks.LIST_ENDPOINTS, {"producer": producer}).fetchall()

    @repeat_read
    def read(self, producer: str, id: str) -> WebhookEndpoint | None:
        """An endpoint of a producer; ``None`` if it has none with this id."""
        with self._database.connection() as conn:
            values = {"producer": producer, "id": id}
            return records(conn, WebhookEndpoint).execute(statements.gateway.webhooks.READ_ENDPOINT, values).fetchone()

    def change(
        self,
        producer: str,
        id: str,
        *,
        url: str | None = None,
        types: Sequence[str] | None = None,
        description: str | None = None,
    ) -> bool:
        """Change an endpoint; what is ``None`` stays. Returns whether there is one. The values were checked."""
        values = {"url": url, "types": None if types is None else [*types], "description": description}
        return self._change_one(statements.gateway.webhooks.CHANGE_ENDPOINT, producer, id, values)

    def enable(self, producer: str, id: str) -> bool:
        """Send events to an endpoint again that was disabled, from now on. Returns whether there is one."""
        return self._change_one(statements.gateway.webhooks.ENABLE_ENDPOINT, producer, id)

    def delete(self, producer: str, id: str) -> bool:
        """Delete an endpoint with its log of deliveries. Returns whether there was one."""
        values = {"producer": producer, "id": id}

        def change(conn: Connection) -> int:
            conn.execute(statements.gateway.webhooks.DELETE_DELIVERIES, values)
            return conn.execute(statements.gateway.webhooks.DELETE_ENDPOINT, values).rowcount

        return self._database.change(change) > 0

    def rotate(self, id: str, secret: str) -> None:
        """Give an endpoint, which is the caller's, a new secret. The old one signs for another 24 hours, too."""

        def change(conn: Connection) -> None:
            conn.execute(statements.gateway.webhooks.REPLACE_SECRETS, {"id": id})
            conn.execute(statements.gateway.webhooks.ADD_SECRET, {"id": id, "secret": secret})

        self._database.change(change)

    def add_test(self, producer: str, id: str, data: Mapping[str, JsonValue]) -> str:
        """Send an event of type ``webhook.test`` to an endpoint, which is the caller's. Returns the event's id."""
        event = _new_id("evt")

        def change(conn: Connection) -> None:
            values = {"id": event, "producer": producer, "data": Json(data)}
            conn.execute(statements.gateway.webhooks.ADD_TEST_EVENT, values)
            conn.execute(statements.gateway.webhooks.ADD_DELIVERY, {"event": event, "endpoint": id})

        self._database.change(change)
        return event

    def redeliver(self, producer: str, id: str, event: str) -> bool:
        """Send an event again to an endpoint, which is the caller's. Returns whether there is such an event."""
        values = {"producer": producer, "endpoint": id, "event": event}
        statement = statements.gateway.webhooks.REDELIVER_EVENT
        return self._database.change(lambda conn: conn.execute(statement, values).rowcount) > 0

    def redeliver_since(self, producer: str, id: str, since: datetime) -> int:
        """Send every event again to an endpoint, which is the caller's, that it has subscribed to.

        :param since: events before are left out.
        :returns: how many there are.
        """
        values = {"producer": producer, "endpoint": id, "since": since}
        statement = statements.gateway.webhooks.REDELIVER_SINCE
        return self._database.change(lambda conn: conn.execute(statement, values).rowcount)

    @repeat_read
    def deliveries(
        self, id: str, *, state: str | None = None, before: tuple[datetime, str] | None = None, limit: int
    ) -> list[Delivery]:
        """The deliveries of an endpoint, which is the caller's, the newest first.

        :param state: only those in this state.
        :param before: the time and the event of the last one that was listed before.
        """
        time, event = before or (datetime.max.replace(tzinfo=UTC), "")
        values = {"endpoint": id, "state": state, "before": time, "before_event": event, "limit": limit}
        with self._database.connection() as conn:
            return records(conn, Delivery).execute(statements.gateway.webhooks.LIST_DELIVERIES, values).fetchall()

    def _change_one(
        self, statement: str, producer: str, id: str, values: Mapping[str, str | Sequence[str] | None] | None = None
    ) -> bool:
        keys = {"producer": producer, "id": id, **(values or {})}
        return self._database.change(lambda conn: conn.execute(statement, keys).rowcount) > 0


def _new_id(prefix: str) -> str:
    return f"{prefix}_{secrets.token_hex(16)}"
