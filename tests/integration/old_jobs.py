"""Jobs submitted at another time, with results."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import UTC, datetime
from uuid import UUID

from psycopg import sql

from longshore.shared.ledger.ledger import Ledger
from longshore.shared.ledger.retention.uuid7_time import first_id
from longshore.shared.settings import Settings
from tests.integration.support import claim, commit, migrated_database, new_job


def id_at(moment: datetime) -> UUID:
    """A UUIDv7 of that millisecond."""
    return UUID(int=first_id(moment).int | 7 << 76 | 2 << 62 | int.from_bytes(os.urandom(7)))


def submit_at(ledger: Ledger, moment: datetime, *rows: int) -> UUID:
    """A job with a shard of so many rows each, submitted then."""
    return ledger.submissions.submit([replace(new_job(*rows or (2,)), id=id_at(moment))])[0]


def done_at(ledger: Ledger, moment: datetime, *rows: int, errors: dict[int, str] | None = None) -> UUID:
    """A job of one shard that was submitted then and has been run at once."""
    job = submit_at(ledger, moment, *rows)
    commit(ledger, claim(ledger, job), errors)
    end_at(ledger, moment, job)
    return job


def end_at(ledger: Ledger, moment: datetime, *jobs: UUID) -> None:
    """Let jobs have ended then."""
    run_sql(ledger, "UPDATE jobs SET finished_at = %s WHERE id = ANY(%s)", moment, list(jobs))


def where(ledger: Ledger, table: str = "results") -> dict[UUID, str]:
    """The partition that each job's rows lie in."""
    query = sql.SQL("SELECT DISTINCT job_id, tableoid::regclass::text FROM {}").format(sql.Identifier(table))
    with ledger.database.connection() as conn:
        return dict(conn.execute(query).fetchall())


def run_sql(ledger: Ledger, statement: str, *values: object) -> list[tuple[object, ...]]:
    """What a statement of a test returns."""
    with ledger.database.connection() as conn:
        found = conn.execute(sql.SQL(statement), values)
        return found.fetchall() if found.description else []


@contextmanager
def own_ledger(services: Settings) -> Iterator[Ledger]:
    """A ledger in a database of its own, whose partitions may be changed."""
    with migrated_database(services) as settings, Ledger(settings.database_url, "longshore tests") as ledger:
        yield ledger


def utc(year: int, month: int, day: int) -> datetime:
    return datetime(year, month, day, tzinfo=UTC)
