"""Reading the ledger."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple
from uuid import UUID

from psycopg.errors import InsufficientPrivilege

from longshore.shared.errors import UnknownJob
from longshore.shared.ledger import statements
from longshore.shared.ledger.database import Database, records
from longshore.shared.ledger.jobs.filter import ALL_JOBS, JobFilter, JobOrder
from longshore.shared.ledger.locks import RELAY_LOCK, lock_halves
from longshore.shared.ledger.postgres.repeating import repeat_read
from longshore.shared.ledger.records import JobRecord, MetricRecord, ShardRecord
from longshore.shared.ledger.retention.uuid7_time import FIRST_ID, LAST_ID, first_id
from longshore.shared.ledger.shards.transitions import check_not_pruned
from longshore.shared.vocabulary import State


class ResultRecord(NamedTuple):
    """The result of one row. ``output`` and ``key`` are the JSON texts of objects."""

    row: int
    output: str
    #: The columns of the input that the job keeps; ``None`` if it keeps none.
    key: str | None = None


class RowErrorRecord(NamedTuple):
    """Why one row has no result."""

    row: int
    error: str
    #: As that of a result; also ``None`` if the key itself cannot be stored.
    key: str | None = None


@dataclass(frozen=True)
class Outcome:
    """How a job has ended, with all its rows."""

    job: UUID
    state: State
    model: str
    version: int | None
    rows_total: int | None
    rows_failed: int
    #: Whether the rows were removed.
    pruned: bool
    #: By row; and those with errors.
    results: list[ResultRecord] = field(default_factory=list)
    errors: list[RowErrorRecord] = field(default_factory=list)


class Queries:
    """The part of the ledger that only reads."""

    def __init__(self, database: Database) -> None:
        self._database = database

    @repeat_read
    def job(self, job: UUID) -> JobRecord:
        """:raises UnknownJob: there is no such job."""
        with self._database.connection() as conn:
            record = records(conn, JobRecord).execute(statements.queries.READ_JOB, {"job": job}).fetchone()
        if record is None:
            raise UnknownJob("job", f"there is no job {job}")
        return record

    @repeat_read
    def some_jobs(self, jobs: Sequence[UUID]) -> dict[UUID, JobRecord]:
        """The jobs among these that exist, by id."""
        with self._database.connection() as conn:
            found = records(conn, JobRecord).execute(statements.queries.READ_JOBS, {"jobs": list(jobs)}).fetchall()
        return {record.id: record for record in found}

    @repeat_read
    def jobs(self, chosen: JobFilter = ALL_JOBS, limit: int = 100) -> list[JobRecord]:
        """The newest jobs that a filter chooses, newest first."""
        statement = statements.queries.LIST_JOBS_IN_STATES if chosen.states else statements.queries.LIST_JOBS
        with self._database.connection() as conn:
            return records(conn, JobRecord).execute(statement, _filter_values(chosen, limit)).fetchall()

    @repeat_read
    def sorted_jobs(
        self, chosen: JobFilter, order: JobOrder, limit: int = 100, after: UUID | None = None
    ) -> list[JobRecord]:
        """The first of all the jobs that a filter chooses, in an order. Postgres reads each of them.

        :param after: only those that come after this job in the order: the last one of the page before.
        """
        values = {
            **_filter_values(chosen, limit),
            "sort": order.key,
            "descending": order.descending,
            "after": after,
        }
        with self._database.connection() as conn:
            ids = [id_ for (id_,) in conn.execute(statements.queries.SORT_JOBS, values)]
        jobs = self.some_jobs(ids)
        return [jobs[id_] for id_ in ids if id_ in jobs]

    @repeat_read
    def jobs_between(self, first: UUID, last: UUID, limit: int) -> list[JobRecord]:
        """The jobs with an id from ``first`` to ``last``, newest first."""
        values = {"first": first, "last": last, "limit": limit}
        with self._database.connection() as conn:
            return records(conn, JobRecord).execute(statements.queries.FIND_JOBS, values).fetchall()

    @repeat_read
    def newest_of(self, producer: str) -> UUID | None:
        """The newest job of a producer; ``None`` if it has submitted none."""
        with self._database.connection() as conn:
            row = conn.execute(statements.queries.NEWEST_OF_PRODUCER, {"producer": producer}).fetchone()
        return None if row is None else row[0]

    @repeat_read
    def neighbours(self, jobs: list[UUID]) -> dict[UUID, list[UUID]]:
        """The ids just before and just after each job; none at an end."""
        with self._database.connection() as conn:
            rows = conn.execute(statements.queries.READ_NEIGHBOURS, {"jobs": jobs}).fetchall()
        return {id_: [other for other in others if other is not None] for id_, *others in rows}

    @repeat_read
    def not_ended(self, jobs: list[UUID]) -> set[UUID]:
        """The jobs among these that have not ended; jobs that do not exist are left out."""
        with self._database.connection() as conn:
            return {id_ for (id_,) in conn.execute(statements.queries.READ_NOT_ENDED, {"jobs": jobs})}

    @repeat_read
    def shards(self, job: UUID, limit: int | None = None, after: int | None = None) -> list[ShardRecord]:
        """The shards of a job, by index.

        :param limit: of them, the first; ``None`` for all.
        :param after: only those with a larger index.
        """
        values = {"job": job, "limit": limit, "after": -1 if after is None else after}
        with self._database.connection() as conn:
            return records(conn, ShardRecord).execute(statements.queries.LIST_SHARDS, values).fetchall()

    def results(self, job: UUID) -> Iterator[ResultRecord]:
        """Every row that has a result, by row. The rows are streamed, one at a time.

        :raises ResultsPruned: the results were removed.
        """
        with self._database.own_connection() as conn:
            check_not_pruned(conn, job)
            with conn.cursor().copy(statements.queries.COPY_OUT_RESULTS, {"job": job}) as copy:
                copy.set_types(["int8", "text", "text"])
                count = 0
                for count, values in enumerate(copy.rows(), start=1):  # noqa: B007 - read below
                    yield ResultRecord(*values)
            if not count:  # pruning removes all results of a job at once, and may have done so since
                check_not_pruned(conn, job)

    @repeat_read
    def few_results(self, job: UUID) -> list[ResultRecord]:
        """Like :meth:`results`, but all rows at once. For few rows this is faster: it opens no new connection.

        :raises ResultsPruned: the results were removed.
        """
        with self._database.connection() as conn:
            rows = conn.execute(statements.queries.READ_RESULTS, {"job": job}).fetchall()
            if not rows:  # pruning removes all results of a job at once
                check_not_pruned(conn, job)
        return [ResultRecord(*row) for row in rows]

    @repeat_read
    def results_page(self, job: UUID, after: int, limit: int, max_bytes: int) -> list[ResultRecord]:
        """The next rows that have a result, by row. No connection is held between two pages.

        :param after: only rows with a larger number; -1 for the first page.
        :param max_bytes: of outputs and keys, after which the page ends; a page has at least one row. An empty page is
            the end, and a shorter one need not be.
        :raises ResultsPruned: the results were removed.
        """
        values = {"job": job, "after": after, "limit": limit, "max_bytes": max_bytes}
        with self._database.connection() as conn:
            rows = conn.execute(statements.queries.READ_RESULTS_PAGE, values).fetchall()
            if not rows:  # pruning removes all results of a job at once
                check_not_pruned(conn, job)
        return [ResultRecord(*row) for row in rows]

    @repeat_read
    def outcomes(self, jobs: Sequence[UUID]) -> dict[UUID, Outcome]:
        """How jobs have ended, by id; those that have not, and those that do not exist, are left out.

        :param jobs: each with few rows: all are read at once.
        """
        with self._database.connection() as conn:
            ended = conn.execute(statements.queries.READ_ENDS, {"jobs": list(jobs)})
            outcomes = {id_: Outcome(id_, State(state), *values) for id_, state, *values in ended}
            for job, *values in conn.execute(statements.queries.READ_RESULTS_OF_JOBS, {"jobs": list(outcomes)}):
                outcomes[job].results.append(ResultRecord(*values))
            failed = [outcome.job for outcome in outcomes.values() if outcome.rows_failed]
            if failed:
                for job, *values in conn.execute(statements.queries.LIST_ROW_ERRORS_OF_JOBS, {"jobs": failed}):
                    outcomes[job].errors.append(RowErrorRecord(*values))
        return outcomes

    @repeat_read
    def row_errors(self, job: UUID, limit: int = 1000, after: int | None = None) -> list[RowErrorRecord]:
        """The first rows that failed, by row.

        :param after: only rows with a larger number.
        """
        with self._database.connection() as conn:
            values = {"job": job, "limit": limit, "after": -1 if after is None else after}
            return [RowErrorRecord(*row) for row in conn.execute(statements.queries.LIST_ROW_ERRORS, values)]

    @repeat_read
    def rows_not_run(self, job: UUID, limit: int = 1000) -> list[range]:
        """The rows of a job that have neither a result nor an error: the first ranges of their numbers."""
        with self._database.connection() as conn:
            rows = conn.execute(statements.queries.ROWS_NOT_RUN, {"job": job, "limit": limit})
            return [range(start, stop) for start, stop in rows]

    @repeat_read
    def metrics(self, job: UUID) -> list[MetricRecord]:
        """The metrics of a training job, by step and name. If two attempts have reported one, the later one counts."""
        with self._database.connection() as conn:
            return records(conn, MetricRecord).execute(statements.queries.LIST_METRICS, {"job": job}).fetchall()

    @repeat_read
    def last_epoch(self, job: UUID) -> int | None:
        """The last epoch of a training that was measured, from 1; ``None`` if none was."""
        with self._database.connection() as conn:
            row = conn.execute(statements.queries.READ_LAST_EPOCH, {"job": job}).fetchone()
            return None if row is None else row[0]

    @repeat_read
    def named_blobs(self) -> set[str]:
        """The digests of all blobs that models, checkpoints, trials, blocks of inline rows, files and batches name."""
        with self._database.connection() as conn:
            return {row[0] for row in conn.execute(statements.retention.NAMED_BLOBS)}

    @repeat_read
    def digests_of_jobs(self) -> set[str]:
        """The digests of versions that jobs run or can run again, even if the versions were deleted since."""
        with self._database.connection() as conn:
            return {row[0] for row in conn.execute(statements.retention.DIGESTS_OF_JOBS)}

    @repeat_read
    def count_jobs(self) -> dict[str, int]:
        """The number of jobs in each state. States without jobs are left out."""
        with self._database.connection() as conn:
            return {str(state): int(count) for state, count in conn.execute(statements.installation.COUNT_JOBS)}

    @repeat_read
    def server_version(self) -> str:
        """The version of Postgres, such as ``16.3``."""
        with self._database.connection() as conn:
            row = conn.execute(statements.installation.SERVER_VERSION).fetchone()
        return "" if row is None else str(row[0]).split()[0]

    @repeat_read
    def identity(self) -> str | None:
        """What tells this cluster from another; ``None`` if this user of Postgres may not know the server's."""
        with self._database.connection() as conn:
            try:
                row = conn.execute(statements.installation.IDENTITY).fetchone()
            except InsufficientPrivilege:
                return None
        return None if row is None else str(row[0])

    @repeat_read
    def schema_revision(self) -> str | None:
        """The newest migration that was applied; ``None`` if there is none.

        :raises ServiceUnavailable: there are no tables.
        """
        with self._database.connection() as conn:
            row = conn.execute(statements.installation.SCHEMA_REVISION).fetchone()
        return None if row is None else str(row[0])

    @repeat_read
    def relay_silence(self) -> float | None:
        """For how many seconds the relay that leads has done nothing; ``None`` if none leads.

        0 if this user of Postgres may not know.
        """
        with self._database.connection() as conn:
            row = conn.execute(statements.sessions.LIST_LOCK_HOLDERS, lock_halves(RELAY_LOCK)).fetchone()
        return None if row is None else float(row[0] or 0)


def _filter_values(chosen: JobFilter, limit: int) -> dict[str, object]:
    """The parameters of the statements that list jobs."""
    return {
        "states": sorted(chosen.states),
        "kinds": sorted(chosen.kinds) or None,
        "model": chosen.model,
        "version": chosen.version,
        "producer": chosen.producer,
        "first": FIRST_ID if chosen.since is None else first_id(chosen.since),
        "before": LAST_ID if chosen.before is None else chosen.before,
        "limit": limit,
    }
