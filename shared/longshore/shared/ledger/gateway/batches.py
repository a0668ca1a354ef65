"""Batches of requests in the format of OpenAI.

A batch is driven by the gateway that holds its lease. Each change is one transaction that takes effect only while the
lease is held, so that two gateways never both end a batch.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Final, LiteralString
from uuid import UUID

from psycopg.types.json import Jsonb
from pydantic import JsonValue

from longshore.shared.fault_point import fault_point
from longshore.shared.ledger import statements
from longshore.shared.ledger.database import Connection, Database, records
from longshore.shared.ledger.gateway.files import NewUpload, add_file, new_file_id, random_name
from longshore.shared.ledger.postgres.repeating import repeat_read
from longshore.shared.store.manifest import Blob

_ID: Final = re.compile(r"batch_[0-9a-f]{32}")
#: After every batch, where a list begins.
_LAST: Final = datetime.max.replace(tzinfo=UTC)
#: The purpose of the files that a batch leaves.
OUTPUT_PURPOSE: Final = "batch_output"


@dataclass(frozen=True, kw_only=True)
class BatchRecord:
    """A batch. The state and the moments are those of OpenAI's object."""

    id: str
    state: str
    endpoint: str
    input_file_id: str
    completion_window: str
    #: Seconds after which its files expire; ``None`` for never.
    output_expires_after: int | None
    metadata: Mapping[str, str] | None
    #: The token that has created it, and patterns of the models that this may use; empty for all.
    token_id: str | None
    model_patterns: Sequence[str]
    #: The versions that its lines name, as ``name:version``.
    models: Sequence[str]
    created_at: datetime
    expires_at: datetime
    in_progress_at: datetime | None
    finalizing_at: datetime | None
    completed_at: datetime | None
    failed_at: datetime | None
    expired_at: datetime | None
    cancelling_at: datetime | None
    cancelled_at: datetime | None
    #: Lines, and of those that have an answer and that have an error; of a batch that runs, only the lines that cannot
    #: be run count as failed here.
    total: int
    completed: int
    failed: int
    usage: Mapping[str, JsonValue] | None
    #: Of a batch that failed as a whole.
    errors: Sequence[Mapping[str, JsonValue]] | None
    output_file_id: str | None
    error_file_id: str | None
    #: The digest of its plan, once the file was read and until the batch has ended.
    plan: str | None
    #: Its jobs, once they were submitted; ``None`` in place of one that was not: the batch was cancelled or has
    #: expired, or there is an error in its place.
    jobs: Sequence[UUID | None] | None
    job_errors: Sequence[str | None] | None
    #: How often its next step has failed, and outages do not count.
    tries: int
    #: The blobs that it needs until it has ended: its plan and at least one for each job.
    parts: int
    read_at: datetime = field(compare=False)


@dataclass(frozen=True)
class BatchFile:
    """A file that a batch leaves."""

    filename: str
    blob: Blob


@dataclass(frozen=True, kw_only=True)
class BatchEnd:
    """How a batch has ended."""

    #: ``completed``, ``failed``, ``expired`` or ``cancelled``.
    state: str
    total: int = 0
    completed: int = 0
    failed: int = 0
    usage: Mapping[str, JsonValue] | None = None
    errors: Sequence[Mapping[str, JsonValue]] | None = None
    output: BatchFile | None = None
    error: BatchFile | None = None


class BatchNotRunning(Exception):
    """The batch is in other hands, was cancelled, or has expired: no job of it is submitted any more."""


#: Called with the transaction that ends a batch, and the batch as it is then.
OnEnd = Callable[[Connection, BatchRecord], None]


class Batches:
    """The part of the ledger with the batches. Every method but :meth:`take` sees those of one producer alone."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def add(
        self,
        producer: str,
        endpoint: str,
        input_file_id: str,
        completion_window: str,
        seconds: float,
        *,
        output_expires_after: int | None = None,
        metadata: Mapping[str, str] | None = None,
        token_id: str | None = None,
        model_patterns: Sequence[str] = (),
        key: str | None = None,
    ) -> BatchRecord:
        """Add a batch, which a gateway then takes.

        :param seconds: as many as ``completion_window`` says.
        :param token_id: of the token that creates it.
        :param model_patterns: of the models that the token may use; empty for all.
        :param key: of the request: the same request adds one batch, however often it is sent.
        """
        values: dict[str, object] = {
            "id": f"batch_{random_name(producer, key)}",
            "producer": producer,
            "endpoint": endpoint,
            "input_file_id": input_file_id,
            "completion_window": completion_window,
            "seconds": seconds,
            "output_expires_after": output_expires_after,
            "token_id": token_id,
            "model_patterns": list(model_patterns),
            "metadata": None if metadata is None else Jsonb(dict(metadata)),
        }

        def add(conn: Connection) -> BatchRecord | None:
            return records(conn, BatchRecord).execute(statements.gateway.batches.ADD_BATCH, values).fetchone()

        batch = self._database.change(add)
        assert batch is not None  # it returns the row that it inserts
        return batch

    @repeat_read
    def find(self, producer: str, id: str) -> BatchRecord | None:
        """A batch; ``None`` if the producer has none with this id."""
        if not _ID.fullmatch(id):
            return None
        with self._database.connection() as conn:
            values = {"id": id, "producer": producer}
            return records(conn, BatchRecord).execute(statements.gateway.batches.READ_BATCH, values).fetchone()

    @repeat_read
    def list(self, producer: str, *, after: BatchRecord | None = None, limit: int = 20) -> list[BatchRecord]:
        """The batches, the newest first.

        :param after: the last batch of the page before.
        """
        values = {
            "producer": producer,
            "after": "" if after is None else after.id,
            "after_time": _LAST if after is None else after.created_at,
            "limit": limit,
        }
        with self._database.connection() as conn:
            return records(conn, BatchRecord).execute(statements.gateway.batches.LIST_BATCHES, values).fetchall()

    @repeat_read
    def rows(self, producer: str, ids: Sequence[str]) -> dict[str, tuple[int, int, int]]:
        """How many rows of the jobs of batches are done, have failed, and are there, by batch."""
        with self._database.connection() as conn:
            values = {"ids": list(ids), "producer": producer}
            found = conn.execute(statements.gateway.batches.COUNT_ROWS, values)
            return {id_: (int(done), int(failed), int(total)) for id_, done, failed, total in found}

    def cancel(self, producer: str, id: str) -> bool:
        """Ask for the end of a batch. Returns ``False`` if it is not being read or run."""
        with self._database.transaction() as conn:
            values = {"id": id, "producer": producer}
            return conn.execute(statements.gateway.batches.CANCEL_BATCH, values).fetchone() is not None

    @repeat_read
    def expired_jobs(self, jobs: Sequence[UUID]) -> set[UUID]:
        """The jobs among these that were ended because they were past their deadline."""
        with self._database.connection() as conn:
            found = conn.execute(statements.gateway.batches.READ_EXPIRED, {"jobs": list(jobs)})
            return {id_ for (id_,) in found}

    def take(self, gateway: str, lease: float, limit: int) -> Sequence[tuple[str, str]]:
        """Lease batches that nobody drives, and that wait for nothing. Producers take turns.

        :param gateway: who takes them.
        :param lease: seconds.
        :returns: the id and the producer of each.
        """
        with self._database.transaction() as conn:
            values = {"gateway": gateway, "lease": lease, "limit": limit}
            return [(id_, producer) for id_, producer in conn.execute(statements.gateway.batches.TAKE_BATCHES, values)]

    def held(self, producer: str, id: str, gateway: str) -> HeldBatch:
        """A batch that a gateway has taken."""
        return HeldBatch(self._database, {"producer": producer, "id": id, "gateway": gateway})


class HeldBatch:
    """A batch in the hands of the gateway that drives it. A change that is no longer its own returns ``None``."""

    def __init__(self, database: Database, names: Mapping[str, str]) -> None:
        self._database = database
        self._names = names
        self.producer, self.id = names["producer"], names["id"]

    def renew(self, lease: float) -> bool:
        """Keep it for ``lease`` seconds more. Returns whether it was still held."""
        with self._database.transaction() as conn:
            values = {**self._names, "lease": lease}
            return conn.execute(statements.gateway.batches.RENEW_LEASE, values).fetchone() is not None

    def release(self, pause: float = 0, *, failed: bool = False) -> None:
        """Let any gateway take it.

        :param pause: seconds after which.
        :param failed: whether its step has failed: see :attr:`BatchRecord.tries`.
        """
        with self._database.transaction() as conn:
            values = {**self._names, "pause": pause, "failures": int(failed)}
            conn.execute(statements.gateway.batches.RELEASE_BATCH, values)

    def lock_running(self, conn: Connection) -> None:
        """Keep the batch as it is until a transaction has ended.

        :raises BatchNotRunning: it is in other hands, was cancelled, or has expired.
        """
        if conn.execute(statements.gateway.batches.LOCK_RUNNING, self._names).fetchone() is None:
            raise BatchNotRunning(self.id)

    def set_plan(
        self, plan: str, blobs: Sequence[str], models: Sequence[str], total: int, failed: int
    ) -> BatchRecord | None:
        """Record what was read.

        :param plan: the digest of the plan.
        :param blobs: the digests of all blobs that are needed until the batch has ended.
        :param failed: lines that cannot be run.
        """
        values = {"plan": plan, "blobs": list(blobs), "models": list(models), "total": total, "failed": failed}
        return self._change(statements.gateway.batches.SET_PLAN, values)

    def set_jobs(self, jobs: Sequence[UUID | None], errors: Sequence[str | None]) -> BatchRecord | None:
        """Record the jobs, and why those are missing that could not be submitted."""
        return self._change(statements.gateway.batches.SET_JOBS, {"jobs": list(jobs), "errors": list(errors)})

    def begin_finalizing(self) -> BatchRecord | None:
        """All jobs have ended, and the files are being written."""
        return self._change(statements.gateway.batches.BEGIN_FINALIZING, {})

    def end(self, batch: BatchRecord, end: BatchEnd, on_end: OnEnd) -> BatchRecord | None:
        """End it, with its files and its event, in one transaction.

        :param batch: as it was read; if its state has changed since, nothing is done.
        """

        output, error = [None if file is None else new_file_id() for file in (end.output, end.error)]
        values = {
            **self._names,
            **{"state": end.state, "from_state": batch.state, "total": end.total, "completed": end.completed},
            **{"failed": end.failed, "output_file_id": output, "error_file_id": error},
            "usage": None if end.usage is None else Jsonb(dict(end.usage)),
            "errors": None if end.errors is None else Jsonb([dict(error) for error in end.errors]),
        }

        def change(conn: Connection) -> BatchRecord | None:
            ended = records(conn, BatchRecord).execute(statements.gateway.batches.END_BATCH, values).fetchone()
            if ended is None:
                return None
            fault_point("batch:ended")
            seconds = ended.output_expires_after
            for id_, file in ((output, end.output), (error, end.error)):
                if id_ is not None and file is not None:
                    add_file(conn, NewUpload(id_, self.producer, OUTPUT_PURPOSE, file.filename, file.blob, seconds))
            on_end(conn, ended)
            return ended

        return self._database.change(change)

    def _change(self, statement: LiteralString, values: Mapping[str, object]) -> BatchRecord | None:
        def change(conn: Connection) -> BatchRecord | None:
            return records(conn, BatchRecord).execute(statement, {**self._names, **values}).fetchone()

        return self._database.change(change)
