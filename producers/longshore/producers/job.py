"""A job, as its producer uses it."""

from __future__ import annotations

import json
from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Literal, NoReturn
from uuid import UUID

from longshore.producers.job_errors import JobError, check_succeeded
from longshore.producers.reporting.progress import Progress, progress_of
from longshore.producers.then import Then
from longshore.producers.waiting import wait_for
from longshore.shared import forks
from longshore.shared.errors import InvalidInput, ServiceUnavailable
from longshore.shared.ledger.ledger import Ledger
from longshore.shared.ledger.records import JobRecord, MetricRecord, ShardRecord, Ticket, TrialRecord, VersionRecord
from longshore.shared.references import ModelReference
from longshore.shared.vocabulary import JobKind, State

if TYPE_CHECKING:
    from longshore.producers.logs import LogLine, LogSteps
    from longshore.producers.reporting.activity.why import Why
    from longshore.producers.results import ResultRow, Results
    from longshore.shared.ledger.queries import ResultRecord
    from longshore.shared.specs.evaluate import Evaluation

#: The results of jobs with at most this many rows are read in one query; those of larger jobs are streamed.
MAX_ROWS_PER_QUERY = 1024


class Job:
    """A job in the ledger. Its attributes query the ledger on each access, so they are never stale."""

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
        self._last = record

    def record(self) -> JobRecord:
        """The job's record in the ledger.

        :raises UnknownJob: the job no longer exists.
        :raises ServiceUnavailable: Postgres cannot be reached.
        """
        if self._final is None:
            record = self._last = self._ledger.queries.job(self.id)
            if not record.state.final:
                return record
            self._final = record
        return self._final

    @property
    def state(self) -> State:
        """queued, running, succeeded, failed or cancelled; or waiting, for the previous job of its chain.

        :raises UnknownJob: the job no longer exists.
        :raises ServiceUnavailable: Postgres cannot be reached.
        """
        return self.record().state

    @property
    def progress(self) -> Progress:
        """How much of the job is done, its speed and the time left.

        :raises UnknownJob: the job no longer exists.
        :raises ServiceUnavailable: Postgres cannot be reached.
        """
        return progress_of(self.record())

    @property
    def notes(self) -> list[str]:
        """Remarks on the job that are not errors, one sentence each.

        :raises UnknownJob: the job no longer exists.
        :raises ServiceUnavailable: Postgres cannot be reached.
        """
        return list(self.record().notes)

    def why(self) -> Why:
        """Why the job is in its state: what it waits for, where it runs or why it has ended; what was tried without
        success; and what can be done now. ``print(job.why())`` shows it all.

        :raises UnknownJob: the job no longer exists.
        :raises ServiceUnavailable: Postgres cannot be reached.
        """
        from longshore.producers.reporting.activity.why import explain

        return explain(self._ledger, self.record())

    def wait(self, timeout: float | None = None, progress: bool | None = None) -> Job:
        """Wait until the job has ended.

        :param timeout: seconds; ``None`` waits forever.
        :param progress: whether to show a progress bar, with the latest metrics of a training job. ``None`` shows it
            in a notebook, and if standard error is a terminal.
        :returns: the job itself.
        :raises JobFailed: the job failed or was cancelled.
        :raises WaitTimeout: the job did not end in time; it continues to run.
        :raises UnknownJob: the job no longer exists.
        :raises ServiceUnavailable: Postgres cannot be reached for a minute; the job continues to run.
        """
        from longshore.producers.reporting.progress_bar import progress_display

        with progress_display(progress, self.metrics) as show:
            record = self._final = self._last = wait_for(self._ledger, self.id, timeout, show)
        check_succeeded(self._ledger, record)
        return self

    def results(self) -> Results:
        """The results so far, ordered by row: a column ``row``, the columns that the job keeps, and one column for each
        key of the outputs. ``.to_pandas()``, ``.to_polars()`` and ``.to_arrow()`` make frames and tables of them.

        For a running or failed job these are the rows of the finished shards. :meth:`stream` reads results that do not
        fit into memory.

        :raises InvalidInput: the job writes files only; see :meth:`parts`.
        :raises ResultsPruned: the results were removed because of their age; see :meth:`Client.prune`.
        :raises UnknownJob: the job no longer exists.
        :raises ServiceUnavailable: Postgres cannot be reached.
        """
        from longshore.producers.results import Results, key_columns_of, results_table

        record = self.record()
        names = key_columns_of(record)
        table = results_table(self._outputs(), names, generated=record.kind == JobKind.GENERATE)
        return Results(table, names)

    def texts(self) -> list[str | None]:
        """The generated texts so far: one for each row of the data, in its order. ``None`` for a row that has an error,
        of which :meth:`errors` says why, or that has not run.

        :raises InvalidInput: the job generates no texts.
        :raises ResultsPruned: as :meth:`results`.
        :raises UnknownJob: the job no longer exists.
        :raises ServiceUnavailable: Postgres cannot be reached.
        """
        record = self.record()
        if record.kind != JobKind.GENERATE:
            raise InvalidInput("kind", f"{record.kind}: only jobs of kind generate write texts; see results()")
        results = self.results()
        if not results.num_rows:
            return [None] * (record.rows_total or 0)
        by_row = dict(zip(results.column("row").to_pylist(), results.texts, strict=True))
        return [by_row.get(row) for row in range(max(record.rows_total or 0, max(by_row) + 1))]

    def stream(self) -> Generator[ResultRow, None, None]:
        """The results so far, ordered by row, one at a time: for jobs whose results do not fit into memory.

        :raises InvalidInput: as :meth:`results`.
        :raises ResultsPruned: as :meth:`results`.
        :raises UnknownJob: the job no longer exists.
        :raises ServiceUnavailable: Postgres cannot be reached.
        """
        from longshore.producers.results import ResultRow

        for row, output, key in self._outputs():
            yield ResultRow(row, json.loads(output), None if key is None else json.loads(key))

    def parts(self) -> list[str]:
        """The output files of the finished shards: paths or URLs, ordered by shard index.

        A shard whose rows all failed has no file.

        :raises InvalidInput: the job writes no files; see :meth:`results`.
        :raises UnknownJob: the job no longer exists.
        :raises ServiceUnavailable: Postgres cannot be reached.
        """
        from longshore.producers.results import output_pattern

        pattern = output_pattern(self.record())
        if pattern is None:
            raise InvalidInput("job", f"{self.id} writes no files; its outputs are in job.results()")
        return [
            pattern.uri(pattern.output_file(self.id, shard.index))
            for shard in self.shards()
            if shard.state is State.SUCCEEDED and shard.output_file
        ]

    def metrics(self) -> list[MetricRecord]:
        """The metrics of a training job so far, ordered by epoch and name.

        :raises ServiceUnavailable: Postgres cannot be reached.
        """
        return self._ledger.queries.metrics(self.id)

    def trials(self) -> list[TrialRecord]:
        """The trials of a search so far, or the folds of a cross-validation, ordered by number.

        :raises ServiceUnavailable: Postgres cannot be reached.
        """
        return self._ledger.trials.of(self.id)

    def evaluation(self) -> Evaluation:
        """The result of an evaluation job.

        It is available once every row has been evaluated, even if the job failed because too many rows had errors.

        :raises InvalidInput: the job is of another kind, or has no result yet.
        :raises UnknownJob: the job no longer exists.
        :raises ServiceUnavailable: Postgres cannot be reached.
        """
        from longshore.shared.specs.evaluate import Evaluation

        record = self.record()
        if record.kind != JobKind.EVALUATE:
            raise InvalidInput(
                "job", f"{self.id} is a job of kind {record.kind}; only jobs from client.evaluate have an evaluation"
            )
        if record.outcome is None:
            raise InvalidInput("job", f"{self.id} is {record.state} and has no evaluation yet; wait for it to succeed")
        return Evaluation.model_validate(record.outcome)

    @property
    def then(self) -> Then[Job]:
        """Chain another job after this one: ``job.then.evaluate(...)``, ``.infer(...)``, ``.generate(...)`` or
        ``.promote(...)``.

        :raises InvalidInput: the job was not created by a client.
        """
        if self._then is None:
            raise InvalidInput("job", f"{self.id} was not created by a client, so no job can be chained to it")
        return self._then(self.id)

    def chain(self) -> list[Job]:
        """The jobs of the chain that this job belongs to, at least itself, each after the one it waits for.

        :raises ServiceUnavailable: Postgres cannot be reached.
        """
        ids = self._ledger.chains.of(self.id)
        return [Job(id_, self._ledger, self._publish, then=self._then) for id_ in ids]

    def is_version_deleted(self) -> bool:
        """Whether the version that the job has run or made was deleted since.

        :raises UnknownJob: the job no longer exists.
        :raises ServiceUnavailable: Postgres cannot be reached.
        """
        record = self.record()
        version = (record.outcome or {}).get("version") if record.version is None else record.version
        return isinstance(version, int) and self._ledger.models.is_deleted(record.model, version)

    def plot(self, path: str | Path) -> Path:
        """Plot the metrics of a training job so far, with a mark at the best epoch.

        :param path: a .png, .svg or .pdf file. An existing file is replaced.
        :returns: the path of the file.
        :raises InvalidInput: there are no metrics yet, the extra ``plot`` is not installed, or the file cannot be
            written.
        :raises UnknownJob: the job no longer exists.
        :raises ServiceUnavailable: Postgres cannot be reached.
        """
        from longshore.producers.reporting.best_epoch import best_epoch
        from longshore.producers.reporting.curves import panels
        from longshore.producers.reporting.plots import save_plot

        record, metrics = self.record(), self.metrics()
        best = best_epoch(record, metrics)
        title = f"{record.model}, job {self.id}"
        return save_plot(panels(metrics), path, title, None if best is None else best.epoch)

    def report(self, path: str | Path) -> Path:
        """Write a self-contained HTML report on a training job: duration, notes, curves, metrics by epoch with the best
        one marked, confusion matrix, options and lineage.

        :param path: an .html file. An existing file is replaced.
        :returns: the path of the file.
        :raises InvalidInput: as for :meth:`plot`.
        :raises UnknownJob: the job no longer exists.
        :raises ServiceUnavailable: Postgres cannot be reached.
        """
        from longshore.producers.reporting.html_report import save_report

        record = self.record()
        number = (record.outcome or {}).get("version")
        version = None
        if record.kind == JobKind.TRAIN and isinstance(number, int):
            version = self._version(record.model, number)
        return save_report(path, record, version, self.metrics(), [error.message for error in self.errors()])

    def tensorboard(self, folder: str | Path) -> Path:
        """Write the metrics of a training job as an event file for TensorBoard.

        :param folder: gets a new file; created if it does not exist. Use one folder per job to keep jobs apart.
        :returns: the path of the folder.
        :raises InvalidInput: there are no metrics yet, the extra ``tensorboard`` is not installed, or the folder
            cannot be written.
        :raises ServiceUnavailable: Postgres cannot be reached.
        """
        from longshore.producers.reporting.tensorboard import write_event_file

        target = Path(folder).expanduser()
        write_event_file(self.metrics(), target)
        return target

    def shards(self) -> list[ShardRecord]:
        """The shards, ordered by index.

        :raises ServiceUnavailable: Postgres cannot be reached.
        """
        return self._ledger.queries.shards(self.id)

    def rows_not_run(self, limit: int = 1000) -> list[range]:
        """The rows that have neither a result nor an error yet, by number: the first ``limit`` ranges of them.

        Of a job that generates text, these are the rows that :meth:`retry` goes on with.

        :raises InvalidInput: the job has no rows of results.
        :raises UnknownJob: the job no longer exists.
        :raises ServiceUnavailable: Postgres cannot be reached.
        """
        from longshore.producers.results import check_in_table

        record = self.record()
        check_in_table(record)
        if record.kind not in (JobKind.INFER, JobKind.GENERATE):
            raise InvalidInput("job", f"{self.id} is a job of kind {record.kind}, which has no rows of results")
        return self._ledger.queries.rows_not_run(self.id, limit)

    def errors(self, limit: int = 1000, after: int | None = None) -> list[JobError]:
        """The errors of attempts at shards, then at most ``limit`` errors of rows; a pruned job has none of these.

        :param after: only the errors of rows with a larger number, and none of attempts.
        :raises ServiceUnavailable: Postgres cannot be reached.
        """
        attempts = [
            JobError(
                message=str(error["error"]),
                shard=shard.index,
                attempt=int(str(error["attempt"])),
                worker=None if error["worker"] is None else str(error["worker"]),
            )
            for shard in (self.shards() if after is None else ())
            for error in shard.errors
        ]
        rows = self._ledger.queries.row_errors(self.id, limit, after)
        return attempts + [
            JobError(message=message, row=row, key=None if key is None else json.loads(key))
            for row, message, key in rows
        ]

    def logs(self, *, shard: int | None = None, attempt: int | None = None, follow: bool = False) -> Iterator[LogLine]:
        """What the attempts of the job have logged and printed so far, ordered by shard and attempt.

        Of each log at most 256 Ki characters are kept. Small jobs that run well, and pruned jobs, have none.

        :param shard: only of this shard; ``None`` for all.
        :param attempt: only of attempts with this number, from 1; ``None`` for all.
        :param follow: go on with new lines until the job has ended, each about a second after it was written.
        :raises InvalidInput: ``shard`` is below 0, or ``attempt`` below 1.
        :raises UnknownJob: the job no longer exists.
        :raises ServiceUnavailable: Postgres cannot be reached.
        """
        return iter(self._log_steps(shard, attempt, follow))

    def _log_steps(self, shard: int | None, attempt: int | None, follow: bool) -> LogSteps:
        from longshore.producers.logs import JobLogReader, LogSteps

        return LogSteps(JobLogReader(self._ledger.logs, self.id, shard, attempt), self.record, follow=follow)

    def cancel(self) -> bool:
        """Cancel the job. Running shards stop within about a second and write nothing more.

        :returns: ``False`` if the job had already ended.
        :raises UnknownJob: the job no longer exists.
        :raises ServiceUnavailable: Postgres cannot be reached.
        """
        self._last = self._final
        return self._ledger.control.cancel(self.id)

    def retry(self, rows: Literal["failed"] | None = None) -> Job:
        """Run the shards of a failed or cancelled job that did not succeed again.

        :param rows: ``"failed"`` also runs the rows that have errors, without the other rows of their shards. It works
            for every job that has ended, including one that succeeded with allowed errors. The errors stay until the
            rows have run again.
        :raises InvalidInput: the job has not ended, there is nothing to run again, or, with ``rows``, the job writes
            files.
        :raises ResultsPruned: the results of its finished shards were removed because of their age.
        :raises UnknownJob: the job no longer exists.
        :raises ServiceUnavailable: Postgres cannot be reached.
        """
        if rows not in (None, "failed"):
            raise InvalidInput("rows", f"{rows!r}: must be 'failed' or None")
        control = self._ledger.control
        self._publish(control.retry(self.id) if rows is None else control.retry_failed_rows(self.id))
        self._final = self._last = None
        return self

    def extend(self, epochs: int) -> Job:
        """Continue a training job in a new job, with the same data and options. It creates a new version.

        If the learning rate does not depend on the number of epochs, the result is the same as that of a single job
        with all the epochs.

        :param epochs: the number of additional epochs.
        :raises InvalidInput: this is not a training job that succeeded, or its last checkpoint no longer exists.
        :raises ResultsPruned: the inline rows that it was submitted with were pruned.
        :raises UnknownJob: the job no longer exists.
        :raises QueueFull: the producer has as many jobs as an operator allows.
        :raises ServiceUnavailable: Postgres cannot be reached.
        """
        from longshore.producers.planning.resume import extension
        from longshore.shared.ledger.jobs.submission import tickets_of

        new = extension(self.record(), self._ledger.checkpoints.newest(self.id), epochs)
        ids = self._ledger.submissions.submit([new], [])
        self._publish(list(tickets_of([new])))
        return Job(ids[0], self._ledger, self._publish)

    def _version(self, model: str, number: int) -> VersionRecord:
        return self._ledger.models.resolve(ModelReference(model, number))

    def _outputs(self) -> Iterable[ResultRecord]:
        """Every result so far."""
        from longshore.producers.results import check_in_table

        record = self.record()
        check_in_table(record)
        is_small = record.rows_total is not None and record.rows_total <= MAX_ROWS_PER_QUERY
        return self._ledger.queries.few_results(self.id) if is_small else self._ledger.queries.results(self.id)

    def __reduce__(self) -> NoReturn:
        raise forks.refuse_pickling(self, "pass job.id, and ask a Client there for client.job(id)")

    def __repr__(self) -> str:
        # Without a query: a repr must work in logs and tracebacks, and when Postgres is away.
        if self._last is None:
            return f"<Job {self.id}>"
        from longshore.producers.reporting.job_html import job_line

        hint = "; see job.why()" if self._last.state in (State.FAILED, State.CANCELLED) else ""
        return f"<Job {job_line(self._last)}{hint}>"

    def _repr_html_(self) -> str:
        from longshore.producers.reporting.job_html import job_html

        record = self.record()
        metrics: list[MetricRecord] = []
        if record.kind == JobKind.TRAIN:
            # What is known is shown when Postgres is away.
            with suppress(ServiceUnavailable):
                metrics = self.metrics()
        return job_html(record, metrics)
