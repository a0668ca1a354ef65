"""What the integration tests share: values to submit, steps of an attempt, and waiting for what happens."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from dataclasses import replace
from functools import cache
from itertools import pairwise
from threading import Barrier
from types import ModuleType
from typing import TypeVar
from urllib.parse import urlsplit
from uuid import UUID, uuid4

import psycopg
import pyarrow as pa
from psycopg import sql
from uuid_utils.compat import uuid7

from longshore.shared.ledger import statements
from longshore.shared.ledger.ledger import Ledger
from longshore.shared.ledger.migrate import migrate
from longshore.shared.ledger.records import Claim, NewJob, NewShard
from longshore.shared.ledger.shards.copy_rows import result_lines
from longshore.shared.settings import Settings
from tests.waiting import TIMEOUT_S, wait_until

T = TypeVar("T")

#: Seconds: long enough that no lease runs out by itself.
LEASE = 600.0


def together(*functions: Callable[[], T]) -> list[T]:
    """Call each in a thread of its own, all from the same moment; what one raises is raised."""
    barrier = Barrier(len(functions))

    def start(function: Callable[[], T]) -> T:
        barrier.wait(TIMEOUT_S)
        return function()

    with ThreadPoolExecutor(len(functions)) as pool:
        return [future.result(TIMEOUT_S) for future in [pool.submit(start, function) for function in functions]]


@contextmanager
def no_results_written(settings: Settings) -> Iterator[psycopg.Connection[tuple[int]]]:
    """Whoever writes into the table waits until the end of the block, in which another connection can be used."""
    url = settings.database_url
    with psycopg.connect(url) as lock, psycopg.connect(url, autocommit=True) as link:
        lock.execute("LOCK TABLE results IN SHARE MODE")
        yield link
        lock.rollback()


def new_job(
    *rows: int,
    kind: str = "infer",
    action: str | None = None,
    model: str = "digits",
    version: int | None = 1,
    queue: str = "cpu",
    priority: int = 4,
    max_attempts: int = 3,
    timeout: float | None = None,
    key: str | None = None,
    request: str | None = None,
    producer: str = "tests",
    max_row_errors: float = 0,
    batch_key: str | None = None,
    depends_on: UUID | None = None,
) -> NewJob:
    """A job with a shard of so many rows each; without any, with one planning shard.

    :param max_row_errors: a count, or a fraction; 0 is left out of its spec, as defaults are.
    :param depends_on: the job that must succeed before; give no ``version`` then.
    :param key: its idempotency key, and ``request`` the digest of what was asked for.
    """
    bounds = [sum(rows[:number]) for number in range(len(rows) + 1)]
    allowed = f', "max_row_errors": {max_row_errors}' if max_row_errors else ""
    shards = [
        NewShard(action=action or kind, start=start, stop=stop, batch_key=batch_key) for start, stop in pairwise(bounds)
    ]
    return NewJob(
        id=uuid7(),
        kind=kind,
        producer=producer,
        queue=queue,
        priority=priority,
        spec=f'{{"data": {{"uri": "file:///rows.parquet", "format": "parquet"}}{allowed}}}',
        model=model,
        version=version,
        digest=None if version is None else f"sha256:{version:064x}",
        max_attempts=max_attempts,
        rows_per_shard=None,
        timeout=timeout,
        rows_total=sum(rows) if rows else None,
        shards=shards or [NewShard(action="plan", start=0, stop=0)],
        idempotency_key=key,
        request_digest=request,
        depends_on=depends_on,
    )


def submit(
    ledger: Ledger, *rows: int, max_attempts: int = 3, timeout: float | None = None, max_row_errors: float = 0
) -> UUID:
    """Submit one inference job with a shard of so many rows each."""
    new = new_job(*rows, max_attempts=max_attempts, timeout=timeout, max_row_errors=max_row_errors)
    return ledger.submissions.submit([new])[0]


def claim(ledger: Ledger, job: UUID, shard: int = 0, worker: str = "cpu:0@tests") -> Claim:
    """Claim a shard that waits."""
    found = ledger.attempts.claim(job, shard, worker=worker, lease=LEASE)
    assert found is not None
    return found


def rows_to_run(ledger: Ledger, of: Claim) -> list[int]:
    """The rows that an attempt has to run."""
    return ledger.attempts.failed_rows(of) if of.only_failed else list(range(of.start, of.stop))


def lines(of: Claim, rows: Sequence[int] | None = None) -> memoryview:
    """One result for each row of a claim, or of some of them."""
    rows = range(of.start, of.stop) if rows is None else rows
    outputs = [f'{{"row": {row}}}' for row in rows]
    return result_lines(of.job_id, pa.array(rows, pa.int64()), pa.array(outputs, pa.string()))


def commit(ledger: Ledger, of: Claim, errors: Mapping[int, str] | None = None) -> None:
    """Write a result for each row that an attempt has to run, or its error, and commit.

    :raises AttemptLost: the claim is not the current one.
    """
    rows = rows_to_run(ledger, of)
    failed = {row: error for row, error in (errors or {}).items() if row in rows}
    well = [row for row in rows if row not in failed]
    with ledger.attempts.writing(of) as writer:
        writer.results(lines(of, well))
        writer.fence(len(well))
        writer.row_errors(failed)
        writer.finish()


class Broken(Exception):
    """What ends a worker's run in the middle."""


def write_and_break(ledger: Ledger, of: Claim) -> None:
    """Write a result for each row that an attempt has to run, and break before anything is committed."""
    # Asked before: who holds a connection and waits for another can wait for all others who do.
    rows = rows_to_run(ledger, of)
    with suppress(Broken), ledger.attempts.writing(of) as writer:
        writer.results(lines(of, rows))
        raise Broken


def run(ledger: Ledger, job: UUID, shard: int = 0) -> None:
    """Claim a shard and commit it."""
    commit(ledger, claim(ledger, job, shard))


def expire(ledger: Ledger, job: UUID, shard: int = 0) -> int:
    """Let the lease of a running shard run out now; returns how many attempts were lost by it."""
    with ledger.database.connection() as conn:
        conn.execute(
            """UPDATE shards SET lease_until = now() - interval '1 second'
               WHERE job_id = %s AND index = %s AND state = 'running'""",
            [job, shard],
        )
    return ledger.maintenance.expire_leases()


def end_attempt(ledger: Ledger, attempt: Claim, end: str) -> None:
    """End an attempt without its commit: it expires, fails, is released or deferred, or its job is cancelled."""
    if end == "expire":
        assert expire(ledger, attempt.job_id) == 1
    elif end == "fail":
        ledger.attempts.fail(attempt, "out of memory", permanent=False)
    elif end == "release":
        ledger.attempts.release(attempt)
    elif end == "defer":
        ledger.attempts.defer(attempt, "Postgres restarts")
    else:
        assert end == "cancel"
        ledger.control.cancel(attempt.job_id)


def rows_of(ledger: Ledger, job: UUID) -> list[int]:
    """The rows of a job that have results."""
    return [row for row, _, _ in ledger.queries.results(job)]


def row_errors_of(ledger: Ledger, job: UUID) -> list[tuple[int, str]]:
    """Row and error of the rows of a job that have none."""
    return [(row, error) for row, error, _ in ledger.queries.row_errors(job)]


def states_of(ledger: Ledger, job: UUID) -> list[str]:
    """The states of a job's shards."""
    return [shard.state.value for shard in ledger.queries.shards(job)]


def is_held_up(ledger: Ledger, waiting: int = 1) -> bool:
    """Whether so many connections to the ledger's database wait for another's lock."""
    with ledger.database.connection() as conn:
        found = conn.execute(
            "SELECT FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'"
        )
        return found.rowcount >= waiting


def wait_for_lock(ledger: Ledger, waiting: int = 1) -> None:
    """Until so many connections to the ledger's database wait for another's lock."""
    wait_until(lambda: is_held_up(ledger, waiting), "a wait for a lock")


def skip_syncs(database_url: str) -> None:
    """Let a Postgres wait for no disk: a commit takes a twentieth of the time.

    What it has committed outlives it all the same, and any process that is killed; not the end of the machine.

    :param database_url: the login of a superuser.
    """
    with psycopg.connect(database_url, autocommit=True) as conn:
        for setting in ("fsync", "full_page_writes"):
            conn.execute(sql.SQL("ALTER SYSTEM SET {} = off").format(sql.Identifier(setting)))
        conn.execute("SELECT pg_reload_conf()")


@contextmanager
def empty_database(services: Settings, template: str = "template1") -> Iterator[Settings]:
    """A database of its own on the same Postgres, without tables; gone afterwards, whoever is still connected.

    :param template: the database that it is a copy of.
    """
    name = f"tests_{uuid4().hex}"
    # Two connections: meanwhile a test may end all that there are.
    with psycopg.connect(services.database_url, autocommit=True) as conn:
        conn.execute(sql.SQL("CREATE DATABASE {} TEMPLATE {}").format(sql.Identifier(name), sql.Identifier(template)))
    try:
        yield replace(services, database_url=_address(services.database_url, name))
    finally:
        with psycopg.connect(services.database_url, autocommit=True) as conn:
            conn.execute(sql.SQL("DROP DATABASE {} WITH (FORCE)").format(sql.Identifier(name)))


@contextmanager
def migrated_database(services: Settings) -> Iterator[Settings]:
    """As :func:`empty_database`, with the tables: a copy of one that was migrated, which is much sooner made."""
    with empty_database(services, _migrated_template(services.database_url)) as settings:
        yield settings


@cache
def _migrated_template(database_url: str) -> str:
    """The name of a migrated database of this Postgres, to which nobody connects any more."""
    name = f"template_{uuid4().hex}"
    with psycopg.connect(database_url, autocommit=True) as conn:
        conn.execute(sql.SQL("CREATE DATABASE {}").format(sql.Identifier(name)))
    migrate(_address(database_url, name))
    return name


def _address(database_url: str, name: str) -> str:
    """The address of another database on the same Postgres."""
    return urlsplit(database_url)._replace(path=f"/{name}").geturl()


def empty_tables(database_url: str, *, keep: Sequence[str] = ()) -> None:
    """Delete every row of the ledger, and count ids from 1 again.

    :param keep: tables whose rows stay.
    """
    with psycopg.connect(database_url) as connection:
        # A test that left a transaction open must fail here, not hang.
        connection.execute("SET LOCAL lock_timeout = '10s'")
        rows = connection.execute(
            """SELECT relname FROM pg_class
               WHERE relnamespace = 'public'::regnamespace AND relkind IN ('r', 'p') AND NOT relispartition
               ORDER BY relname IN ('models', 'deleted_versions')"""
        )
        # These come last: others refer to ``models``, and a trigger writes each deletion into ``deleted_versions``.
        tables = [sql.Identifier(name) for (name,) in rows if name not in ("alembic_version", *keep)]
        connection.execute(sql.SQL("LOCK TABLE {} IN ACCESS EXCLUSIVE MODE").format(sql.SQL(", ").join(tables)))
        # Not TRUNCATE: it makes a new file for each table and partition, and takes ten times as long.
        for table in tables:
            connection.execute(sql.SQL("DELETE FROM {}").format(table))
        sequences = connection.execute(
            "SELECT relname FROM pg_class WHERE relnamespace = 'public'::regnamespace AND relkind = 'S'"
        )
        for (name,) in sequences.fetchall():
            connection.execute(sql.SQL("ALTER SEQUENCE {} RESTART").format(sql.Identifier(name)))


def statement_modules(package: ModuleType = statements, prefix: str = "") -> dict[str, ModuleType]:
    """The modules of the ledger's statements, by ``folder.module``."""
    found: dict[str, ModuleType] = {}
    for name, module in vars(package).items():
        if isinstance(module, ModuleType):
            found |= {f"{prefix}{name}": module, **statement_modules(module, f"{prefix}{name}.")}
    return found
