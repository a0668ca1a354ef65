"""Webhooks: events that are sent to the endpoints of a producer.

An event is written in the transaction of what it tells of: by a trigger on ``jobs`` when a job ends, and by
:meth:`Webhooks.add_event` for other things. The relay delivers it afterwards, at least once, with the same id.
"""

from __future__ import annotations

import secrets
from collections.abc import Mapping

from psycopg.types.json import Json
from pydantic import JsonValue

from longshore.shared.ledger import statements
from longshore.shared.ledger.database import Connection, Database


class Webhooks:
    """The part of the ledger with a producer's endpoints and their events."""

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
        values = {"id": f"evt_{secrets.token_hex(16)}", "producer": producer, "type": type, "data": Json(data)}
        conn.execute(statements.gateway.webhooks.ADD_EVENT, values)
