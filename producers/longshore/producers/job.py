"""A job as its producer sees it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal
from uuid import UUID

from longshore.producers.reporting.progress import Progress, progress_of
from longshore.producers.then import Then
from longshore.producers.waiting import wait_for
from longshore.shared.errors import InvalidInput, JobFailed
from longshore.shared.ledger.ledger import Ledger
from longshore.shared.ledger.records import JobRecord, MetricRecord, ShardRecord, Ticket, TrialRecord
from longshore.shared.references import ModelReference
from longshore.shared.specs.jobs import State

if TYPE_CHECKING:
    import pyarrow as pa

    from longshore.shared.specs.evaluate import Evaluation

#: Results of a job of more rows are streamed.
FEW_ROWS = 1024


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
        then: Callable[[UUID], Then[Job]] | None = None,
    ) -> None:
        self.id = id
        self._then = then
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
        """queued, running, succeeded, failed or cancelled; waiting, for the job before it in a chain."""
        return self.record().state

    @property
    def progress(self) -> Progress:
        """How far it is, and how fast."""
        return progress_of(self.record())

    @property
    def notes(self) -> list[str]:
        """What one should know though nothing failed, a sentence each."""
        return list(self.record().notes)

    def wait(self, timeout: float | None = None, progress: bool | None = None) -> Job:
        """Wait until the job has ended.

        :param timeout: seconds; ``None`` waits for ever.
        :param progress: draw a progress bar, with the newest metrics of a training; ``None`` does if standard error is
            a terminal.
        :returns: the job itself.
        :raises JobFailed: it failed or was cancelled.
        :raises WaitTimeout: it has not ended in time; it goes on.
        """
        from longshore.producers.reporting.progress_bar import progress_display

        with progress_display(self.id, progress, self.metrics) as show:
            record = self._final = wait_for(self._ledger, self.id, timeout, show)
        if record.state is not State.SUCCEEDED:
            raise JobFailed(f"job {self.id} {record.state}: {record.error or 'no reason was given'}")
        return self

    def results(self) -> pa.Table:
        """The results so far, by row: a column ``row``, and one for each key of the outputs.

        Of a running or failed job these are the rows of the shards that are done.

        :raises InvalidInput: the job writes files only; see :meth:`parts`.
        :raises ResultsPruned: they were removed because of their age; see :meth:`Client.prune`.
        """
        from longshore.producers.results import check_in_table, results_table

        record = self.record()
        check_in_table(record)
        few = record.rows_total is not None and record.rows_total <= FEW_ROWS
        read = self._ledger.queries.few_results if few else self._ledger.queries.results
        return results_table(read(self.id))

    def parts(self) -> list[str]:
        """The output files of the shards that are done: paths or URLs, by the number of the shard.

        A shard of which every row has failed has none.

        :raises InvalidInput: the job writes no files; see :meth:`results`.
        """
        from longshore.producers.results import output_of

        pattern = output_of(self.record())
        if pattern is None:
            raise InvalidInput("job", f"{self.id} writes no files; its outputs are in job.results()")
        return [
            pattern.uri(pattern.part(self.id, shard.index))
            for shard in self.shards()
            if shard.state is State.SUCCEEDED and shard.part
        ]

    def metrics(self) -> list[MetricRecord]:
        """What a training job has reported, by epoch and name, while it runs and after."""
        return self._ledger.queries.metrics(self.id)

    def trials(self) -> list[TrialRecord]:
        """What a search has tried so far, or the folds of a cross-validation, by number."""
        return self._ledger.trials.of(self.id)

    def evaluation(self) -> Evaluation:
        """What an evaluation job has found.

        It is there once every row was measured, also where the job failed because more rows had errors than it allowed.

        :raises InvalidInput: the job is of another kind, or has found nothing yet.
        """
        from longshore.shared.specs.evaluate import Evaluation

        record = self.record()
        if record.kind != "evaluate":
            raise InvalidInput(
                "job", f"{self.id} is one of kind {record.kind}; client.evaluate makes those that measure"
            )
        if record.outcome is None:
            raise InvalidInput("job", f"{self.id} is {record.state} and has measured nothing; wait for it to succeed")
        return Evaluation.model_validate(record.outcome)

    @property
    def then(self) -> Then[Job]:
        """What comes after this job: ``job.then.evaluate(...)``, ``.infer(...)`` or ``.promote(...)``."""
        if self._then is None:
            raise InvalidInput("job", f"{self.id} was not made by a client")
        return self._then(self.id)

    def chain(self) -> list[Job]:
        """Every job of the chain that this one is part of, each after the one that it waits for; itself at least."""
        found = self._ledger.chains.of(self.id)
        return [Job(job, self._ledger, self._publish, then=self._then) for job in found]

    def plot(self, path: str | Path) -> Path:
        """Draw what a training job has reported so far.

        :param path: a .png, .svg or .pdf file; one that is there is replaced.
        :returns: the file.
        :raises InvalidInput: nothing has been measured, the extra ``plot`` is not installed, or the file cannot be
            written.
        """
        from longshore.producers.reporting.curves import panels
        from longshore.producers.reporting.plots import save_plot

        return save_plot(panels(self.metrics()), path, f"{self.record().model}, job {self.id}")

    def report(self, path: str | Path) -> Path:
        """Write a page on a training job that needs nothing beside it: curves, metrics, confusion matrix,
        configuration and lineage.

        :param path: an .html file; one that is there is replaced.
        :returns: the file.
        :raises InvalidInput: as :meth:`plot`.
        """
        from longshore.producers.reporting.html_report import save_report

        record = self.record()
        made = (record.outcome or {}).get("version")
        version = None
        if record.kind == "train" and isinstance(made, int):
            version = self._ledger.models.resolve(ModelReference(record.model, made))
        return save_report(path, record, version, self.metrics(), [error.message for error in self.errors()])

    def tensorboard(self, folder: str | Path) -> Path:
        """Write what a training job has reported as an event file for TensorBoard.

        :param folder: a new file is added to it; it is made if need be. A folder for each job keeps them apart.
        :returns: the folder.
        :raises InvalidInput: as :meth:`plot`, of the extra ``tensorboard``.
        """
        from longshore.producers.reporting.tensorboard import write_event_file

        target = Path(folder).expanduser()
        write_event_file(self.metrics(), target)
        return target

    def shards(self) -> list[ShardRecord]:
        """The shards, by index."""
        return self._ledger.queries.shards(self.id)

    def errors(self, limit: int = 1000) -> list[JobError]:
        """What went wrong: attempts at shards first, then rows, of these at most ``limit``; none of a pruned job."""
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

    def retry(self, rows: Literal["failed"] | None = None) -> Job:
        """Run again every shard of a failed or cancelled job that did not succeed.

        :param rows: ``"failed"`` runs also the rows that have errors, and no others of their shards. It is for every
            job that has ended, one that succeeded with allowed errors too. The errors stay until the rows have run.
        :raises InvalidInput: the job has not ended, there is nothing of it to run again, or with ``rows``, it writes
            files.
        :raises ResultsPruned: what had succeeded of it was removed because of its age.
        """
        if rows not in (None, "failed"):
            raise InvalidInput("rows", f"{rows!r}: give 'failed', or leave it out")
        control = self._ledger.control
        self._publish(control.retry(self.id) if rows is None else control.retry_failed_rows(self.id))
        self._final = None
        return self

    def extend(self, epochs: int) -> Job:
        """Train on, in a new job that begins where this one ended, with its data and options. It makes a new version.

        Where the learning rate does not depend on the number of epochs, it ends where a single job of all the epochs
        would have.

        :param epochs: how many more.
        :raises InvalidInput: this is no training that has succeeded, or its last checkpoint was not kept.
        :raises ResultsPruned: the rows that came with its call are not there any more.
        """
        from longshore.producers.planning.resume import extension
        from longshore.shared.ledger.submission import tickets_of

        new = extension(self.record(), self._ledger.checkpoints.newest(self.id), epochs)
        ids = self._ledger.submissions.submit([new], [])
        self._publish(list(tickets_of([new])))
        return Job(ids[0], self._ledger, self._publish)

    def __repr__(self) -> str:
        return f"Job({str(self.id)!r})"
