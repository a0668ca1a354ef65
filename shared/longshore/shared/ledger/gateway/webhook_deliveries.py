"""Deliveries of webhooks, as the relay makes them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import Final

from psycopg.types.json import Jsonb
from pydantic import JsonValue

from longshore.shared.fault_point import fault_point
from longshore.shared.ledger import statements
from longshore.shared.ledger.database import Connection, records
from longshore.shared.ledger.postgres.connection import LedgerConnection

#: Old events that one transaction removes.
MAX_REMOVED: Final = 1000


@dataclass(frozen=True, kw_only=True)
class ClaimedDelivery:
    """An event that this relay has to send to an endpoint now."""

    event_id: str
    endpoint_id: str
    #: Tries before this one.
    attempt: int
    #: The fencing token.
    claims: int
    url: str = field(repr=False)
    type: str
    data: JsonValue = field(repr=False)
    created_at: datetime
    #: With which it is signed.
    secrets: Sequence[str] = field(repr=False)


class TryOutcome(StrEnum):
    """What has become of a try."""

    DELIVERED = "delivered"
    #: It is tried again later.
    RETRIED = "retried"
    #: It was the last try.
    FAILED = "failed"
    #: The endpoint is gone; nothing more is sent to it.
    GONE = "gone"


@dataclass(frozen=True, kw_only=True)
class EndedTry:
    """One try to deliver an event."""

    delivery: ClaimedDelivery
    outcome: TryOutcome
    started_at: datetime
    duration_ms: int
    #: Of the HTTP response; ``None`` if there was none.
    status: int | None
    #: A short sentence; ``None`` if it was delivered.
    error: str | None
    #: Seconds to the next try; ``None`` if there is none.
    pause_s: float | None


class WebhookDeliveries:
    """The part of the ledger with which the relay delivers events, on a connection of its own."""

    @staticmethod
    def claim(
        conn: Connection, *, failing: bool, each: int, busy: Mapping[str, int], limit: int, lease_s: float
    ) -> list[ClaimedDelivery]:
        """Claim deliveries whose time has come.

        :param failing: those of endpoints whose last try has failed; otherwise those of the others.
        :param each: the most that are sent to one endpoint at a time.
        :param busy: how many are being sent to an endpoint.
        :param limit: the most that are claimed.
        :param lease_s: seconds after which another relay sends what this one has not.
        """
        values = {
            **{"failing": failing, "each": each, "limit": limit, "lease": lease_s},
            **{"busy": list(busy), "counts": list(busy.values())},
        }
        return records(conn, ClaimedDelivery).execute(statements.gateway.webhooks.CLAIM_DELIVERIES, values).fetchall()

    @staticmethod
    def record(conn: LedgerConnection, tries: Sequence[EndedTry]) -> None:
        """Record tries, all in one transaction. Those whose claim has run out are left out: another relay sends them.

        :raises psycopg.OperationalError: they may be recorded or not; recording them again does no harm.
        """
        with conn.transaction():
            for each in tries:
                _record(conn, each)
            fault_point("webhooks:before_commit")

    @staticmethod
    def remove_old(conn: Connection) -> int:
        """Remove events, with their deliveries, and secrets whose time is over. Returns how many events."""
        conn.execute(statements.gateway.webhooks.DELETE_OLD_SECRETS)
        removed = 0
        while True:
            count = conn.execute(statements.gateway.webhooks.DELETE_OLD_EVENTS, {"limit": MAX_REMOVED}).rowcount
            removed += count
            if count < MAX_REMOVED:
                return removed

    @staticmethod
    def count_pending(conn: Connection, *, limit: int) -> int:
        """How many deliveries have not ended, up to ``limit`` of each endpoint."""
        row = conn.execute(statements.gateway.webhooks.COUNT_PENDING, {"limit": limit}).fetchone()
        return 0 if row is None else int(row[0])


def _record(conn: Connection, ended: EndedTry) -> None:
    delivery = ended.delivery
    log: dict[str, JsonValue] = {
        **{"attempt": delivery.attempt + 1, "at": ended.started_at.isoformat(), "status": ended.status},
        **{"duration_ms": ended.duration_ms, "error": ended.error},
    }
    state = {TryOutcome.DELIVERED: "delivered", TryOutcome.RETRIED: "pending"}.get(ended.outcome, "failed")
    values = {
        **{"event": delivery.event_id, "endpoint": delivery.endpoint_id, "claims": delivery.claims},
        **{"state": state, "delay": ended.pause_s, "log": Jsonb(log)},
    }
    if conn.execute(statements.gateway.webhooks.RECORD_TRY, values).fetchone() is None:
        return
    endpoint = {"endpoint": delivery.endpoint_id}
    if ended.outcome is TryOutcome.DELIVERED:
        conn.execute(statements.gateway.webhooks.MARK_WORKING, endpoint)
    else:
        conn.execute(statements.gateway.webhooks.MARK_FAILING, endpoint)
    if ended.outcome is TryOutcome.GONE:
        conn.execute(statements.gateway.webhooks.DISABLE_ENDPOINT, {**endpoint, "reason": ended.error})
        conn.execute(statements.gateway.webhooks.DROP_PENDING, endpoint)
