"""Submitting jobs. A job is durable when :meth:`Submissions.submit` returns."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from itertools import islice
from typing import LiteralString, TypeAlias, cast
from uuid import UUID

from psycopg.errors import UniqueViolation
from psycopg.types.json import Jsonb

from longshore.shared.errors import InvalidInput, ServiceUnavailable, SubmissionUncertain
from longshore.shared.fault_point import fault_point
from longshore.shared.ledger import statements
from longshore.shared.ledger.database import Connection, Database
from longshore.shared.ledger.jobs.open_jobs import OpenJobsLimit
from longshore.shared.ledger.postgres.errors import ConnectionLost, CopyRefused
from longshore.shared.ledger.postgres.repeating import pauses_after_loss, repeat_read, repeat_rolled_back
from longshore.shared.ledger.records import NewInput, NewJob, Ticket
from longshore.shared.limits import check_job
from longshore.shared.vocabulary import State

_JOB_TYPES = (
    *("uuid", "text", "text", "text", "text", "int2", "jsonb", "text", "int4", "text", "int2", "int8"),
    *("int8", "int4", "timestamptz", "text", "text"),
)
_SHARD_TYPES = (
    *("uuid", "int4", "text", "text", "text", "int2", "int8", "int8", "int8", "int8", "int4", "timestamptz", "uuid"),
    "text",
)
#: Messages, each with its id and the tickets that it carries.
Published: TypeAlias = Sequence[tuple[UUID, Sequence[Ticket]]]
#: Called with the transaction that submits; what it raises rolls that back.
Condition: TypeAlias = Callable[[Connection], None]
#: How many rows a statement inserts where COPY is not allowed.
_ROWS_PER_INSERT = 5000
#: The constraint that keeps a producer's idempotency keys apart.
_KEYS = "jobs_producer_idempotency_key_key"


@dataclass(frozen=True)
class Submission:
    """Jobs, and the rows that came with them: what one caller submits."""

    jobs: Sequence[NewJob]
    inputs: Sequence[NewInput] = ()


class Submissions:
    """The part of the ledger that producers write with."""

    def __init__(self, database: Database) -> None:
        self._database = database
        #: Of those who submit with this ledger.
        self.limit: OpenJobsLimit | None = None
        #: Whether this login may COPY. With row-level security, Postgres takes INSERT only.
        self._can_copy = True

    def submit(
        self,
        jobs: Sequence[NewJob],
        inputs: Sequence[NewInput] = (),
        messages: Published = (),
        *,
        condition: Condition | None = None,
    ) -> list[UUID]:
        """Write jobs, their shards and their inputs in one transaction: all of them, or none.

        :param jobs: of one producer.
        :param messages: the messages that the caller publishes as soon as this returns. Shards that no message names
            count as unpublished. If the caller dies before it publishes, the relay finds that Redis lacks these
            messages, and publishes them.
        :param condition: of the transaction. Where it raises, no job is there that was not there before.
        :returns: the id of each job. If its idempotency key was used before, it is the id of the earlier job.
        :raises InvalidInput: a key was used before for something else, or a job is too large.
        :raises SubmissionUncertain: the connection was lost, and Postgres could not be asked for some time what became
            of the transaction.

        If the connection is lost, the same jobs are written again: their ids keep them from being there twice.
        """
        for job in jobs:
            check_job(job.spec, len(job.shards))
        lost: ServiceUnavailable | None = None
        for pause in [*pauses_after_loss(), None]:
            try:
                return self._submit(jobs, inputs, messages, condition)
            except ConnectionLost as error:
                lost = error
            except ServiceUnavailable as error:
                if lost is None:
                    raise
                lost = error
            except UniqueViolation:
                # The ids are new: if one is there, it is by the try whose answer was lost.
                if lost is None:
                    raise
                return self._known_ids(jobs)
            if pause is not None:
                time.sleep(pause)
        raise _uncertain(jobs, lost) from lost

    def submit_apart(self, submissions: Sequence[Submission]) -> list[list[UUID] | Exception]:
        """Write what several callers submit, of one producer, in one transaction if that can be; each as if alone.

        :returns: for each of them, what :meth:`submit` returns or raises.
        """
        try:
            jobs = [job for submission in submissions for job in submission.jobs]
            ids = iter(self.submit(jobs, [block for submission in submissions for block in submission.inputs]))
        except SubmissionUncertain as error:
            lost = error.__cause__ if isinstance(error.__cause__, ServiceUnavailable) else error
            return [_uncertain(submission.jobs, lost) for submission in submissions]
        except ServiceUnavailable as error:
            return [error for _ in submissions]
        except Exception as error:
            # Something is wrong with one of them, and nothing was written: together they cannot tell with which.
            if len(submissions) == 1:
                return [error]
            return [outcome for submission in submissions for outcome in self.submit_apart([submission])]
        return [[next(ids) for _ in submission.jobs] for submission in submissions]

    @repeat_rolled_back
    def _submit(
        self,
        jobs: Sequence[NewJob],
        inputs: Sequence[NewInput],
        messages: Published,
        condition: Condition | None,
    ) -> list[UUID]:
        if _is_simple(jobs, inputs) and not messages and condition is None and self.limit is None:
            self._submit_one(jobs[0], inputs[0] if inputs else None)
            return [jobs[0].id]
        while True:
            can_copy = self._can_copy  # another thread may find out meanwhile
            try:
                with self._database.transaction() as conn:
                    if condition is not None:
                        condition(conn)
                    known = self._known(conn, jobs)
                    new = [job for job in jobs if job.id not in known]
                    # In the order of their keys, so that no two transactions with the same keys wait for each other.
                    in_order = sorted(new, key=lambda job: job.idempotency_key or "")
                    _write(conn, in_order, inputs, messages, can_copy=can_copy)
                    if new and self.limit is not None:
                        self.limit.check(conn)
            except CopyRefused:
                if not can_copy:
                    raise
                self._can_copy = False
                continue
            except UniqueViolation as error:
                if error.diag.constraint_name != _KEYS:
                    raise
                continue  # another transaction has used the key in the meantime: now it is known
            return [known.get(job.id, job.id) for job in jobs]

    @repeat_read
    def find_keys(self, producer: str, keys: Sequence[str]) -> dict[str, UUID]:
        """The jobs that were submitted with idempotency keys, by key."""
        with self._database.connection() as conn:
            found = conn.execute(statements.submission.FIND_KEYS, {"producer": producer, "keys": list(keys)})
            return {key: id_ for key, id_, _ in found}

    def find_key(self, producer: str, key: str) -> UUID | None:
        """The job that was submitted with an idempotency key; ``None`` if there is none."""
        return self.find_keys(producer, [key]).get(key)

    @repeat_read
    def mark_published(self, published: Published) -> None:
        """Record that tickets are in the queue, so that the relay does not publish them."""
        keys = {
            "jobs": [ticket.job_id for _, tickets in published for ticket in tickets],
            "shards": [ticket.shard for _, tickets in published for ticket in tickets],
            "messages": [message for message, tickets in published for _ in tickets],
        }
        with self._database.connection() as conn:
            conn.execute(statements.submission.MARK_PUBLISHED, keys)

    @repeat_read
    def read_inputs(self, blocks: Sequence[UUID]) -> dict[UUID, NewInput]:
        """Blocks of inline rows by id; blocks that do not exist are left out."""
        with self._database.connection() as conn:
            rows = conn.execute(statements.submission.READ_INPUTS, {"ids": list(blocks)}, binary=True)
            return {id_: NewInput(id=id_, data=data, blob=blob) for id_, data, blob in rows}

    @repeat_read
    def _known_ids(self, jobs: Sequence[NewJob]) -> list[UUID]:
        """The ids of jobs that are there, which are others for keys that were used before."""
        with self._database.connection() as conn:
            known = self._known(conn, jobs)
        return [known.get(job.id, job.id) for job in jobs]

    def _submit_one(self, job: NewJob, block: NewInput | None) -> None:
        values: dict[str, object] = {
            **vars(job),
            **vars(job.shards[0]),
            "spec": _raw(job.spec),
            "input": None if block is None else block.id,
            "data": None if block is None else block.data,
            "blob": None if block is None else block.blob,
        }
        with self._database.connection() as conn:
            conn.execute(statements.submission.SUBMIT_ONE, values, prepare=True)

    @staticmethod
    def _known(conn: Connection, jobs: Sequence[NewJob]) -> dict[UUID, UUID]:
        keyed = [job for job in jobs if job.idempotency_key is not None]
        if not keyed:
            return {}
        values = {"producer": keyed[0].producer, "keys": [job.idempotency_key for job in keyed]}
        made = {key: (id_, digest) for key, id_, digest in conn.execute(statements.submission.FIND_KEYS, values)}
        known = {}
        for job in keyed:
            if job.idempotency_key in made:
                id_, digest = made[job.idempotency_key]
                if digest != job.request_digest:
                    raise InvalidInput(
                        "idempotency_key", f"{job.idempotency_key!r} was used before for another request, job {id_}"
                    )
                known[job.id] = id_
            else:  # the same key twice in one call is one job
                made[job.idempotency_key] = (job.id, job.request_digest)
        return known


def tickets_of(jobs: Sequence[NewJob]) -> list[Ticket]:
    """The tickets of the shards of new jobs. Jobs that depend on another have none yet."""
    return [
        Ticket(
            *(job.id, index, shard.action, job.queue, job.priority, shard.start, shard.stop, job.model, job.version),
            batch_key=shard.batch_key,
        )
        for job in jobs
        if job.depends_on is None
        for index, shard in enumerate(job.shards)
    ]


def _uncertain(jobs: Sequence[NewJob], lost: ServiceUnavailable | None) -> SubmissionUncertain:
    ids = [job.id for job in jobs]
    what = f"job {ids[0]}" if len(ids) == 1 else f"{len(ids)} jobs, all or none, of which the first is {ids[0]},"
    return SubmissionUncertain(
        f"{lost}; {what} may have been submitted: when Postgres answers, client.job(id) says so, and only if there is "
        "no such job, submit again",
        ids,
    )


def _is_simple(jobs: Sequence[NewJob], inputs: Sequence[NewInput]) -> bool:
    return (
        len(jobs) == 1
        and jobs[0].depends_on is None
        and len(jobs[0].shards) == 1
        and jobs[0].idempotency_key is None
        and len(inputs) <= 1
    )


@dataclass(frozen=True)
class _TableWriter:
    """A table to write rows to."""

    copy: LiteralString
    insert: LiteralString
    types: Sequence[str]

    def write(self, conn: Connection, rows: Iterable[tuple[object, ...]], *, can_copy: bool) -> None:
        if can_copy:
            _copy(conn, self.copy, self.types, rows)
        else:
            remaining = iter(rows)
            while chunk := list(islice(remaining, _ROWS_PER_INSERT)):
                conn.execute(self.insert, [list(column) for column in zip(*chunk, strict=True)])


_JOBS = _TableWriter(statements.submission.COPY_JOBS, statements.submission.INSERT_JOBS, _JOB_TYPES)
_SHARDS = _TableWriter(statements.submission.COPY_SHARDS, statements.submission.INSERT_SHARDS, _SHARD_TYPES)
_DEPENDENCIES = _TableWriter(
    statements.chains.COPY_DEPENDENCIES, statements.chains.INSERT_DEPENDENCIES, ("uuid", "uuid", "float8")
)


def _write(
    conn: Connection, jobs: Sequence[NewJob], inputs: Sequence[NewInput], messages: Published, *, can_copy: bool = True
) -> None:
    if inputs:
        blocks = ((block.id, block.data, block.blob) for block in inputs)
        _copy(conn, statements.submission.COPY_INPUTS, ("uuid", "bytea", "text"), blocks)
    # Postgres' clock sets all times: the producer's may be wrong.
    now = _read_clock(conn)
    _JOBS.write(conn, (_job_row(job, now) for job in jobs), can_copy=can_copy)
    fault_point("ledger:jobs_copied")
    message_of = {(ticket.job_id, ticket.shard): message for message, tickets in messages for ticket in tickets}

    def shard_rows() -> Iterator[tuple[object, ...]]:
        for job in jobs:
            for index, shard in enumerate(job.shards):
                message = message_of.get((job.id, index))
                yield (
                    *(job.id, index, shard.action, _first_state(job), job.queue, job.priority),
                    *(shard.start, shard.stop, shard.offset, shard.length, job.max_attempts),
                    *(None if message is None else now, message, shard.batch_key),
                )

    _SHARDS.write(conn, shard_rows(), can_copy=can_copy)
    fault_point("ledger:shards_copied")
    dependent = [(job.id, job.depends_on, job.timeout) for job in jobs if job.depends_on is not None]
    if dependent:
        _DEPENDENCIES.write(conn, dependent, can_copy=can_copy)
        conn.execute(statements.attempts.NOTIFY_TICKETS)  # the job before them may have ended already


def _copy(conn: Connection, statement: LiteralString, types: Sequence[str], rows: Iterable[tuple[object, ...]]) -> None:
    with conn.cursor() as cursor, cursor.copy(statement) as copy:
        copy.set_types(types)
        for row in rows:
            copy.write_row(row)


def _first_state(job: NewJob) -> str:
    return (State.QUEUED if job.depends_on is None else State.WAITING).value


def _read_clock(conn: Connection) -> datetime:
    row = conn.execute(statements.submission.READ_CLOCK).fetchone()
    assert row is not None  # now() is one row
    return cast(datetime, row[0])


def _job_row(job: NewJob, now: datetime) -> tuple[object, ...]:
    deadline = None if job.timeout is None or job.depends_on is not None else now + timedelta(seconds=job.timeout)
    return (
        *(job.id, job.kind, _first_state(job), job.producer, job.queue, job.priority, _raw(job.spec), job.model),
        *(job.version, job.digest, job.max_attempts, job.rows_per_shard, job.rows_total, len(job.shards)),
        *(deadline, job.idempotency_key, job.request_digest),
    )


def _raw(text: str) -> Jsonb:
    # The spec is JSON already. Thousands of jobs share it, so it is not encoded again.
    return Jsonb(text, dumps=str.__str__)
