"""A job, over HTTP."""

from __future__ import annotations

import sys
from collections.abc import Callable, Generator, Iterator
from typing import TYPE_CHECKING, Final, Literal
from uuid import UUID

import pyarrow as pa
from pydantic import JsonValue, TypeAdapter

from longshore.producers.http.connection import WAIT_OUTAGE_S, Cut, GatewayConnection
from longshore.producers.http.records import (
    job_error,
    job_record,
    listed,
    metric_record,
    shard_record,
    trial_record,
)
from longshore.producers.http.streams import LogStream, RowStream
from longshore.producers.http.waiting import POLL_S, SHOWN_POLL_S, wait_for_end
from longshore.producers.job import Job
from longshore.producers.job_errors import JobError, raise_failure
from longshore.producers.logs import LogLine
from longshore.producers.reporting.activity.why import Why
from longshore.producers.results import ResultRow, Results, check_in_table, key_columns_of
from longshore.producers.then import Then
from longshore.shared.errors import InvalidInput, UnknownModel
from longshore.shared.ledger.records import JobRecord, MetricRecord, ShardRecord, TrialRecord, VersionRecord
from longshore.shared.vocabulary import State

if TYPE_CHECKING:
    from longshore.producers.http.models import HttpModels

_WHY: Final = TypeAdapter(Why)
#: Entries of one page of a list, at most.
MAX_LIMIT: Final = 1000


class HttpJob(Job):
    """A job behind a gateway. Each method is described at :class:`Job`, and raises what it raises there."""

    def __init__(
        self,
        id: UUID,
        connection: GatewayConnection,
        models: HttpModels,
        then: Callable[[UUID], Then[Job]],
        record: JobRecord | None = None,
    ) -> None:
        self.id = id
        self._connection = connection
        self._models = models
        self._then = then
        self._last = record
        self._final = record if record is not None and record.state.final else None

    def record(self) -> JobRecord:
        """See :meth:`Job.record`. The URLs in the spec lack their credentials."""
        return self._final or self._seen(self._connection.get(self._path()))

    def why(self) -> Why:
        """See :meth:`Job.why`."""
        return _WHY.validate_python(self._connection.get(self._path("why")))

    def wait(self, timeout: float | None = None, progress: bool | None = None) -> Job:
        """See :meth:`Job.wait`."""
        from longshore.producers.reporting.notebook_line import in_notebook
        from longshore.producers.reporting.progress_bar import progress_display

        is_shown = in_notebook() or sys.stderr.isatty() if progress is None else progress
        with progress_display(progress, self.metrics) as show:
            poll_s = SHOWN_POLL_S if is_shown else POLL_S
            record = wait_for_end(self._connection, self.id, timeout, show, poll_s)
        self._ended(record)
        raise_failure(record, self._first_error)
        return self

    def results(self) -> Results:
        """See :meth:`Job.results`."""
        record = self.record()
        check_in_table(record)
        content = self._connection.content(self._path("results"), {"format": "arrow"})
        with pa.ipc.open_stream(content) as reader:
            return Results(reader.read_all(), key_columns_of(record))

    def stream(self) -> Generator[ResultRow, None, None]:
        """See :meth:`Job.stream`. A stream that is cut goes on after its last row."""
        record = self.record()
        check_in_table(record)
        rows, outage = RowStream(key_columns_of(record)), self._connection.outage(WAIT_OUTAGE_S)
        while True:
            try:
                with self._connection.lines(self._path("results"), rows.query) as lines:
                    for line in lines:
                        row = rows.read(line)
                        outage.over()
                        yield row
                return
            except Cut as error:
                if not outage.pause(None):
                    self._connection.fail(str(error))

    def parts(self) -> list[str]:
        """See :meth:`Job.parts`. URLs lack their credentials."""
        return [str(part) for part in self._connection.items(self._path("parts"), {"limit": MAX_LIMIT})]

    def metrics(self) -> list[MetricRecord]:
        """See :meth:`Job.metrics`."""
        return [metric_record(each) for each in self._connection.items(self._path("metrics"))]

    def trials(self) -> list[TrialRecord]:
        """See :meth:`Job.trials`."""
        return [trial_record(each) for each in self._connection.items(self._path("trials"), {"limit": MAX_LIMIT})]

    def chain(self) -> list[Job]:
        """See :meth:`Job.chain`."""
        links = listed(self._connection.get(self._path("chain")))
        return [self._other(UUID(str(link["id"]))) for link in links if isinstance(link, dict)]

    def is_version_deleted(self) -> bool:
        """See :meth:`Job.is_version_deleted`."""
        record = self.record()
        version = (record.outcome or {}).get("version") if record.version is None else record.version
        if not isinstance(version, int):
            return False
        try:
            self._version(record.model, version)
        except UnknownModel:
            return True
        return False

    def shards(self) -> list[ShardRecord]:
        """See :meth:`Job.shards`."""
        return [shard_record(each) for each in self._connection.items(self._path("shards"), {"limit": MAX_LIMIT})]

    def rows_not_run(self, limit: int = 1000) -> list[range]:
        """See :meth:`Job.rows_not_run`.

        :param limit: at most 1,000.
        """
        _check_limit(limit)
        found = listed(self._connection.get(self._path("rows_not_run"), {"limit": limit}))
        return [range(int(str(each["start"])), int(str(each["stop"]))) for each in found if isinstance(each, dict)]

    def errors(self, limit: int = 1000, after: int | None = None) -> list[JobError]:
        """See :meth:`Job.errors`."""
        found: list[JobError] = []
        rows = 0
        query = {"limit": min(max(limit, 1), MAX_LIMIT), "after": after}
        for each in self._connection.items(self._path("errors"), query):
            error = job_error(each)
            if error.row is not None:
                rows += 1
                if rows > limit:
                    break
            found.append(error)
        return found

    def logs(self, *, shard: int | None = None, attempt: int | None = None, follow: bool = False) -> Iterator[LogLine]:
        """See :meth:`Job.logs`."""
        return self._log_lines(LogStream(shard, attempt, follow))

    def cancel(self) -> bool:
        """See :meth:`Job.cancel`."""
        self._final = None
        if self.record().state.final:
            return False
        return self._seen(self._connection.post(self._path("cancel"))).state is State.CANCELLED

    def retry(self, rows: Literal["failed"] | None = None) -> Job:
        """See :meth:`Job.retry`."""
        if rows not in (None, "failed"):
            raise InvalidInput("rows", f"{rows!r}: must be 'failed' or None")
        self._final = None
        self._seen(self._connection.post(self._path("retry"), {"rows": rows}))
        return self

    def extend(self, epochs: int) -> Job:
        """See :meth:`Job.extend`."""
        record = job_record(self._connection.post(self._path("extend"), {"epochs": epochs}))
        return self._other(record.id, record)

    def _log_lines(self, logs: LogStream) -> Iterator[LogLine]:
        outage = self._connection.outage(WAIT_OUTAGE_S)
        while True:
            try:
                with self._connection.lines(self._path("logs"), logs.begin()) as lines:
                    outage.over()
                    yield from (line for text in lines if (line := logs.read(text)) is not None)
                return
            except Cut as error:
                if not outage.pause(None):
                    self._connection.fail(str(error))

    def _ended(self, record: JobRecord) -> None:
        """It was seen that the job has ended."""
        self._final = self._last = record

    def _first_error(self) -> tuple[int, str] | None:
        return next(((error.row, error.message) for error in self.errors(1, -1) if error.row is not None), None)

    def _version(self, model: str, number: int) -> VersionRecord:
        return self._models.get(f"{model}:{number}")

    def _seen(self, document: JsonValue) -> JobRecord:
        record = self._last = job_record(document)
        if record.state.final:
            self._final = record
        return record

    def _other(self, id: UUID, record: JobRecord | None = None) -> HttpJob:
        assert self._then is not None  # a client has made it
        return HttpJob(id, self._connection, self._models, self._then, record)

    def _path(self, of: str | None = None) -> str:
        return f"/jobs/{self.id}" if of is None else f"/jobs/{self.id}/{of}"


def _check_limit(limit: int) -> None:
    if not 1 <= limit <= MAX_LIMIT:
        raise InvalidInput("limit", f"{limit}: from 1 to {MAX_LIMIT:,} over HTTP")
