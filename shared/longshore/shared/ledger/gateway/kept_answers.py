"""Answers of the HTTP gateway that are kept for requests with an Idempotency-Key."""

from __future__ import annotations

import secrets
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from psycopg.types.json import Jsonb

from longshore.shared.ledger import statements
from longshore.shared.ledger.database import Database, records

#: Seconds for which an answer is kept.
KEEP_S: Final = 86_400.0
#: Seconds for which a request holds its key; it is to go on holding it in time.
HOLD_S: Final = 30.0
#: Old answers that one statement removes.
_MAX_REMOVED: Final = 1000


@dataclass(frozen=True)
class HeldKey:
    """A key that a request in progress holds.

    :param is_repeated: an earlier request with this key was interrupted, and may have had its effect.
    """

    producer: str
    key: str
    holder: str
    is_repeated: bool


@dataclass(frozen=True)
class KeptAnswer:
    """What is known of the earlier request with a key."""

    #: A digest that tells it from others.
    request: bytes
    #: ``None`` while it is in progress.
    status: int | None
    headers: Mapping[str, str] | None
    content: bytes | None
    #: The digest of its body, if that was an upload.
    upload: bytes | None
    #: Seconds until it counts as interrupted.
    held_s: float


class KeptAnswers:
    """The part of the ledger with the kept answers."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def take(self, producer: str, key: str, request: bytes) -> HeldKey | KeptAnswer:
        """Hold a key, or say what came of the earlier request with it.

        :param request: a digest that tells the request from others.
        """
        values = {
            **{"producer": producer, "key": key, "request": request, "holder": secrets.token_hex(16)},
            **{"hold": HOLD_S, "keep": KEEP_S},
        }
        while True:
            with self._database.transaction() as conn:
                row = conn.execute(statements.gateway.kept_answers.TAKE_KEY, values).fetchone()
                if row is not None:
                    return HeldKey(producer, key, str(values["holder"]), bool(row[0]))
                query = records(conn, KeptAnswer)
                answer = query.execute(statements.gateway.kept_answers.READ_ANSWER, values).fetchone()
            if answer is not None:  # else it was released in between
                return answer

    def hold(self, held: HeldKey, seconds: float = HOLD_S) -> None:
        """Go on holding a key.

        :param seconds: from now; 0 lets the next request with it begin, as a repetition.
        """
        with self._database.transaction() as conn:
            conn.execute(statements.gateway.kept_answers.HOLD_KEY, {**vars(held), "hold": seconds})

    def keep(
        self, held: HeldKey, status: int, headers: Mapping[str, str], content: bytes, upload: bytes | None
    ) -> None:
        """Keep the answer to the request that holds a key."""
        values = {**vars(held), "status": status, "headers": Jsonb(dict(headers)), "content": content, "upload": upload}
        with self._database.transaction() as conn:
            conn.execute(statements.gateway.kept_answers.KEEP_ANSWER, values)

    def release(self, held: HeldKey) -> None:
        """Forget a key, whose request had no effect."""
        with self._database.transaction() as conn:
            conn.execute(statements.gateway.kept_answers.RELEASE_KEY, vars(held))

    def remove_old(self) -> int:
        """Remove answers that have expired; returns how many."""
        total = 0
        while True:
            with self._database.transaction() as conn:
                count = conn.execute(
                    statements.gateway.kept_answers.REMOVE_OLD_ANSWERS, {"limit": _MAX_REMOVED}
                ).rowcount
            total += count
            if count < _MAX_REMOVED:
                return total
