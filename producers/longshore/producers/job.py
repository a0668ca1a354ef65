"""A job as its producer sees it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING
from uuid import UUID

from longshore.producers.waiting import wait_for
from longshore.shared.errors import JobFailed
from longshore.shared.jobs import State
from longshore.shared.ledger.ledger import Ledger
from longshore.shared.ledger.records import JobRecord, MetricRecord, ShardRecord, Ticket

if TYPE_CHECKING:
    import pyarrow as pa


@dataclass(frozen=True)
class Progress:
    """How far a job is. A training job counts epochs."""

    state: State
    done: int
    #: ``None`` while the input is being counted.
    total: int | None
    #: Rows that have an error in place of a result.
    failed: int
    #: Seconds since the first worker took it; 0 before.
    seconds: float

    @property
    def fraction(self) -> float:
        """0 to 1."""
        if self.state is State.SUCCEEDED:
            return 1.0
        return min(self.done / self.total, 1.0) if self.total else 0.0


@dataclass(frozen=True)
class JobError:
    """One thing that went wrong: with a row, or with an attempt at a shard."""

    message: str
    row: int | None = None
    shard: int | None = None
    attempt: int | None = None
    worker: str | None = None


class Job:
    """A job in the ledger. Its attributes ask the ledger each time, so they are never stale."""

    def __init__(
        self,
        id: UUID,
        ledger: Ledger,
        publish: Callable[[Sequence[Ticket]], None],
        record: JobRecord | None = None,
    ) -> None:
        self.id = id
        self._ledger = ledger
        self._publish = publish
        self._final = record if record is not None and record.state.final else None

    def record(self) -> JobRecord:
        """Everything the ledger knows of the job itself.

        :raises UnknownJob: it is not there any more.
        """
        if self._final is None:
            record = self._ledger.queries.job(self.id)
            if not record.state.final:
                return record
            self._final = record
        return self._final

    @property
    def state(self) -> State:
        """queued, running, succeeded, failed or cancelled."""
        return self.record().state

    @property
    def progress(self) -> Progress:
        """How far it is."""
        return progress_of(self.record())

    def wait(self, timeout: float | None = None, progress: bool | None = None) -> Job:
        """Wait until the job has ended.

        :param timeout: seconds; ``None`` waits for ever.
        :param progress: draw a progress bar; ``None`` does if standard error is a terminal.
        :returns: the job itself.
        :raises JobFailed: it failed or was cancelled.
        :raises WaitTimeout: it has not ended in time; it goes on.
        """
        from longshore.producers.progress import progress_display

        with progress_display(self.id, progress) as show:
            record = wait_for(self._ledger, self.id, timeout, show)
        if record.state is not State.SUCCEEDED:
            raise JobFailed(f"job {self.id} {record.state}: {record.error or 'no reason was given'}")
        return self

    def results(self) -> pa.Table:
        """The results so far, by row: a column ``row``, and one for each key of the outputs.

        Of a running or failed job these are the rows of the shards that are done.
        """
        from longshore.producers.results import results_table

        return results_table(self._ledger.queries.results(self.id))

    def metrics(self) -> list[MetricRecord]:
        """What a training job has reported, by epoch and name, while it runs and after."""
        return self._ledger.queries.metrics(self.id)

    def shards(self) -> list[ShardRecord]:
        """The shards, by index."""
        return self._ledger.queries.shards(self.id)

    def errors(self, limit: int = 1000) -> list[JobError]:
        """What went wrong: attempts at shards first, then rows, of these at most ``limit``."""
        attempts = [
            JobError(
                message=str(error["error"]),
                shard=shard.index,
                attempt=int(str(error["attempt"])),
                worker=None if error["worker"] is None else str(error["worker"]),
            )
            for shard in self.shards()
            for error in shard.errors
        ]
        rows = self._ledger.queries.row_errors(self.id, limit)
        return attempts + [JobError(message=message, row=row) for row, message in rows]

    def cancel(self) -> bool:
        """End the job now; what runs stops within about a second and writes nothing more.

        :returns: ``False`` where it had ended before.
        """
        return self._ledger.control.cancel(self.id)

    def retry(self) -> Job:
        """Run again every shard of a failed or cancelled job that did not succeed.

        :raises InvalidInput: the job has not ended, or has succeeded.
        """
        self._publish(self._ledger.control.retry(self.id))
        self._final = None
        return self

    def __repr__(self) -> str:
        return f"Job({str(self.id)!r})"


def progress_of(record: JobRecord) -> Progress:
    """The progress that a job's record shows."""
    seconds = 0.0
    if record.started_at is not None:
        seconds = ((record.finished_at or datetime.now(UTC)) - record.started_at).total_seconds()
    return Progress(
        state=record.state,
        done=record.rows_done + record.rows_failed + record.rows_running,
        total=record.rows_total,
        failed=record.rows_failed,
        seconds=max(seconds, 0.0),
    )
