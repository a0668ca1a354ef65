"""Tokens: who calls the HTTP gateway, and what it may do.

A token is ``lsk_ID_SECRET``. The id names its row and is no secret; of the secret, which has 256 random bits, only the
SHA-256 is stored, so that nobody who reads the table can use it.
"""

from __future__ import annotations

import hashlib
import hmac
import re
import secrets
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from enum import StrEnum
from fnmatch import fnmatchcase
from typing import Final

from longshore.shared.errors import InvalidInput
from longshore.shared.ledger import statements
from longshore.shared.ledger.database import Database, records
from longshore.shared.ledger.notifications import Listener
from longshore.shared.ledger.postgres.repeating import repeat_read
from longshore.shared.limits import check_producer

PREFIX: Final = "lsk_"
_TOKEN: Final = re.compile(r"lsk_([0-9a-f]{16})_([0-9a-f]{64})")
LIMIT_NAMES: Final = ("requests_per_minute", "rows_per_day", "tokens_per_day", "queued_jobs")
MAX_SMALL_COUNT: Final = 2**31 - 1
#: A double holds it, as Redis counts.
MAX_COUNT: Final = 2**53
#: Compared with when there is no such token, so that the answer takes as long.
_NO_DIGEST: Final = bytes(32)


class Scope(StrEnum):
    """What a token allows: a verb on a kind of thing."""

    JOBS_READ = "jobs:read"
    JOBS_WRITE = "jobs:write"
    MODELS_READ = "models:read"
    MODELS_WRITE = "models:write"
    FILES_READ = "files:read"
    FILES_WRITE = "files:write"
    WEBHOOKS_READ = "webhooks:read"
    WEBHOOKS_WRITE = "webhooks:write"
    CLUSTER_READ = "cluster:read"


@dataclass(frozen=True, kw_only=True)
class AccessLimits:
    """How much the callers with a token may use; ``None`` is without a limit.

    :param requests_per_minute: requests.
    :param rows_per_day: rows of the jobs that they submit, as far as their number is known then.
    :param tokens_per_day: tokens of the texts that are generated for them, with those of the prompts.
    :param queued_jobs: jobs of the producer that have not ended, when one more is submitted.
    """

    requests_per_minute: int | None = None
    rows_per_day: int | None = None
    tokens_per_day: int | None = None
    queued_jobs: int | None = None

    def __post_init__(self) -> None:
        for name, limit in vars(self).items():
            largest = MAX_COUNT if name.endswith("_per_day") else MAX_SMALL_COUNT
            if name in LIMIT_NAMES and limit is not None and not 0 < limit <= largest:
                raise InvalidInput(
                    f"--{name.replace('_', '-')}", f"{limit}: write a number from 1 to {largest}, or leave it out"
                )


@dataclass(frozen=True)
class NewToken:
    """A token that was just made. Its text is shown once, and cannot be read again."""

    id: str
    text: str = field(repr=False)
    created_at: datetime
    expires_at: datetime | None


@dataclass(frozen=True)
class ShownToken:
    """What a caller shows as a token."""

    id: str
    digest: bytes = field(repr=False)

    @classmethod
    def parse(cls, text: str) -> ShownToken | None:
        """``None``: it is not in the form of a token."""
        match = _TOKEN.fullmatch(text)
        return None if match is None else cls(match[1], _digest(match[2]))

    def matches(self, token: ValidToken | None) -> bool:
        """Whether it is this token. It takes as long whatever differs, and if there is none."""
        return hmac.compare_digest(self.digest, _NO_DIGEST if token is None else token.digest) and token is not None


@dataclass(frozen=True, kw_only=True)
class ValidToken(AccessLimits):
    """A token that was valid when it was read."""

    id: str
    digest: bytes = field(repr=False)
    producer: str
    scopes: Sequence[str]
    #: Patterns of the models that it may use, as of ``fnmatch``; empty for all.
    models: Sequence[str]
    #: Until it expires.
    seconds: float | None = None


@dataclass(frozen=True, kw_only=True)
class TokenRecord(AccessLimits):
    """A token as it is listed."""

    id: str
    producer: str
    scopes: Sequence[str]
    models: Sequence[str]
    note: str
    created_by: str
    created_at: datetime
    expires_at: datetime | None
    revoked_at: datetime | None
    #: ``valid``, ``expired`` or ``revoked``.
    state: str


class AccessTokens:
    """The part of the ledger with the tokens."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def create(
        self,
        producer: str,
        scopes: Sequence[str],
        *,
        models: Sequence[str] = (),
        lifetime: timedelta | None = None,
        limits: AccessLimits | None = None,
        note: str = "",
        created_by: str,
    ) -> NewToken:
        """Make a token.

        :param producer: whose jobs it submits and sees.
        :param scopes: values of :class:`Scope`.
        :param models: patterns of the models that it may use, such as ``search-*``; empty for all.
        :param lifetime: from now; ``None`` for a token that does not expire.
        :raises InvalidInput: a value is wrong.
        """
        check_producer(producer)
        if not scopes:
            raise InvalidInput("scope", f"write at least one of {', '.join(Scope)}")
        for scope in scopes:
            if scope not in list(Scope):
                raise InvalidInput("scope", f"{scope!r}: one of {', '.join(Scope)}")
        if not all(models):
            raise InvalidInput(
                "--model", "write a pattern of names, such as 'search-*', or leave it out for all models"
            )
        if lifetime is not None and lifetime <= timedelta():
            raise InvalidInput("expires", "must be longer than nothing, as in 90d")
        id_, secret = secrets.token_hex(8), secrets.token_hex(32)
        values = {
            **{"id": id_, "digest": _digest(secret), "producer": producer, "scopes": sorted(set(scopes))},
            **{"models": list(models), "note": note, "created_by": created_by, "lifetime": lifetime},
            **vars(limits or AccessLimits()),
        }
        with self._database.transaction() as conn:
            row = conn.execute(statements.gateway.tokens.ADD_TOKEN, values).fetchone()
        assert row is not None  # it returns the row that it inserts
        return NewToken(id_, f"{PREFIX}{id_}_{secret}", *row)

    @repeat_read
    def read(self, id: str) -> ValidToken | None:
        """The token with this id, if there is one that is neither expired nor revoked. Its secret is to be compared."""
        with self._database.connection() as conn:
            return records(conn, ValidToken).execute(statements.gateway.tokens.READ_TOKEN, {"id": id}).fetchone()

    def valid(self, text: str) -> ValidToken | None:
        """The token with this text, if there is one that is neither expired nor revoked."""
        shown = ShownToken.parse(text)
        if shown is None:
            return None
        token = self.read(shown.id)
        return token if shown.matches(token) else None

    @repeat_read
    def count_open_jobs(self, producer: str, limit: int) -> int:
        """The jobs of a producer that have not ended, counted up to ``limit``."""
        values = {"producer": producer, "limit": limit}
        with self._database.connection() as conn:
            row = conn.execute(statements.gateway.tokens.COUNT_OPEN_JOBS, values).fetchone()
        assert row is not None  # it is one row
        return int(row[0])

    @repeat_read
    def usage(self, jobs: Sequence[str]) -> dict[str, int]:
        """The tokens of those of the jobs that have ended: of prompts and of generated texts."""
        with self._database.connection() as conn:
            rows = conn.execute(statements.gateway.tokens.READ_USAGE, {"jobs": list(jobs)})
            return {str(job): int(tokens) for job, tokens in rows}

    @contextmanager
    def revocations(self) -> Iterator[Listener]:
        """Listen for the ids of tokens that are revoked, on a connection of its own.

        :raises ServiceUnavailable: Postgres cannot be reached.
        """
        with self._database.own_connection() as conn:
            conn.execute(statements.gateway.tokens.LISTEN_TOKENS)
            yield Listener(conn, self._database.address)

    @repeat_read
    def list(self) -> list[TokenRecord]:
        """All tokens, the oldest first."""
        with self._database.connection() as conn:
            return records(conn, TokenRecord).execute(statements.gateway.tokens.LIST_TOKENS).fetchall()

    def revoke(self, id: str) -> None:
        """Make a token invalid from now on.

        :raises InvalidInput: there is no such token.
        """
        with self._database.transaction() as conn:
            row = conn.execute(statements.gateway.tokens.REVOKE_TOKEN, {"id": id}).fetchone()
        if row is None:
            raise InvalidInput("token", f"there is no token {id}; see longshore tokens list")


def matches_model(patterns: Sequence[str], name: str) -> bool:
    """Whether a token may use a model.

    :param patterns: those of the token, as of ``fnmatch``; empty for all models.
    :param name: of the model, without version or alias.
    """
    return not patterns or any(fnmatchcase(name, pattern) for pattern in patterns)


def _digest(secret: str) -> bytes:
    return hashlib.sha256(secret.encode()).digest()
