"""The last step of a batch: the results of its jobs become a file of answers and a file of errors.

It can be repeated: an answer has the same id each time, and the files count only once the batch has ended with them.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, field
from typing import Final
from uuid import UUID

from pydantic import JsonValue

from longshore.producers.client import Client
from longshore.producers.gateway.batches.input_lines import Line, LineError
from longshore.producers.gateway.batches.plan import BatchPlan, LinesWriter, PlannedJob, read_bad_lines, read_lines
from longshore.producers.gateway.openai.error_objects import error_object
from longshore.producers.gateway.openai.requests import Endpoint
from longshore.producers.gateway.openai.responses import Origin, answer
from longshore.producers.gateway.openai.running import row_failure
from longshore.producers.gateway.problems import Problem
from longshore.producers.results import ResultRow
from longshore.shared.errors import ResultsPruned
from longshore.shared.ledger.gateway.batches import BatchEnd, BatchFile, BatchRecord
from longshore.shared.ledger.records import JobRecord
from longshore.shared.store.store import Store

EXPIRED: Final = LineError("batch_expired", "this request was not run before the completion window of the batch ended")
CANCELLED: Final = LineError("batch_cancelled", "this request was not run before the batch was cancelled")
_PRUNED: Final = LineError("results_pruned", "the answer to this request was removed before the batch had ended")


@dataclass
class _Usage:
    """The tokens of all answers."""

    input: int = 0
    cached: int = 0
    output: int = 0
    #: Whether an answer has told its tokens.
    is_known: bool = False

    def add(self, usage: JsonValue) -> None:
        if not isinstance(usage, dict):
            return
        self.is_known = True
        self.input += _first(usage, "prompt_tokens", "input_tokens")
        self.output += _first(usage, "completion_tokens", "output_tokens")
        details = usage.get("prompt_tokens_details") or usage.get("input_tokens_details")
        self.cached += _first(details, "cached_tokens") if isinstance(details, dict) else 0

    def document(self) -> Mapping[str, JsonValue] | None:
        if not self.is_known:
            return None
        return {
            "input_tokens": self.input,
            "input_tokens_details": {"cached_tokens": self.cached},
            "output_tokens": self.output,
            "output_tokens_details": {"reasoning_tokens": 0},
            "total_tokens": self.input + self.output,
        }


@dataclass
class _OutputFiles:
    """Both files, while they are written."""

    batch: str
    answers: LinesWriter
    errors: LinesWriter
    usage: _Usage = field(default_factory=_Usage)

    def add_answer(self, line: Line, body: dict[str, JsonValue]) -> None:
        self.usage.add(body.get("usage"))
        name = line_name(self.batch, line.number)
        response: JsonValue = {"status_code": 200, "request_id": f"req_{name}", "body": body}
        self.answers.write(_entry(name, line.custom_id, response, None))

    def add_failure(self, line: Line, problem: Problem) -> None:
        """A line that was run, and that its endpoint would have refused."""
        name = line_name(self.batch, line.number)
        param = problem.errors[0][0] if problem.errors else None
        error = error_object(problem.status, problem.code, str(problem), param)
        members: JsonValue = {
            "message": error["message"],
            "type": error["type"],
            "param": error["param"],
            "code": error["code"],
        }
        body: JsonValue = {"error": members}
        response: JsonValue = {"status_code": problem.status, "request_id": f"req_{name}", "body": body}
        self.errors.write(_entry(name, line.custom_id, response, None))

    def add_error(self, number: int, custom_id: str | None, error: LineError) -> None:
        """A line that was not run."""
        document: JsonValue = {
            "code": error.code,
            "message": error.message,
            "param": error.param,
            "line": number,
        }
        self.errors.write(_entry(line_name(self.batch, number), custom_id, None, document))

    def discard(self) -> None:
        self.answers.discard()
        self.errors.discard()


def cancel_reason(batch: str) -> str:
    """Why a batch has cancelled a job."""
    return f"the batch {batch} was cancelled"


def late_reason(batch: str) -> str:
    """Why a batch has cancelled a job, if its completion window has ended."""
    return f"the completion window of the batch {batch} has ended"


def write_output(
    client: Client, store: Store, batch: BatchRecord, plan: BatchPlan, check: Callable[[], None]
) -> BatchEnd:
    """Write the files of a batch whose jobs have ended.

    :param check: called at each line; what it raises ends the writing.
    :raises CorruptBlob: its plan is missing in the store, or damaged.
    """
    files = _OutputFiles(batch.id, LinesWriter(store), LinesWriter(store))
    writer = _OutputWriter(client, store, batch, files, check)
    try:
        if plan.bad_lines is not None:
            for bad in read_bad_lines(store, plan.bad_lines):
                files.add_error(bad.number, bad.custom_id, bad.error)
        errors = batch.job_errors or [None] * len(plan.jobs)
        for planned, job, error in zip(plan.jobs, batch.jobs or [None] * len(plan.jobs), errors, strict=True):
            if job is None:
                reason = writer.not_run if error is None else LineError("invalid_value", error)
                writer.add_missing(planned, reason)
            else:
                writer.add_job(planned, job)
        output, failed = files.answers.commit(), files.errors.commit()
    finally:
        files.discard()
    return BatchEnd(
        state="cancelled" if batch.state == "cancelling" else "expired" if writer.has_expired else "completed",
        total=files.answers.count + files.errors.count,
        completed=files.answers.count,
        failed=files.errors.count,
        usage=files.usage.document(),
        output=None if output is None else BatchFile(f"{batch.id}_output.jsonl", output),
        error=None if failed is None else BatchFile(f"{batch.id}_error.jsonl", failed),
    )


class _OutputWriter:
    """Writes what became of the lines of each job."""

    def __init__(
        self, client: Client, store: Store, batch: BatchRecord, files: _OutputFiles, check: Callable[[], None]
    ) -> None:
        self._client = client
        self._store = store
        self._batch = batch
        self._files = files
        self._check = check
        jobs = [job for job in batch.jobs or () if job is not None]
        self._expired = client.ledger.batches.expired_jobs(jobs)
        self.not_run = CANCELLED if batch.state == "cancelling" else EXPIRED
        #: Whether a line was not run for lack of time.
        self.has_expired = False

    def add_missing(self, planned: PlannedJob, error: LineError) -> None:
        """The lines of a job that is not there."""
        for line in self._lines(planned):
            self._add_not_run(line, error)

    def add_job(self, planned: PlannedJob, id: UUID) -> None:
        """The lines of a job."""
        job = self._client.job(id)
        record = job.record()
        not_run = self._reason(record)
        failures = {row: message for row, message, _ in self._client.ledger.queries.row_errors(id, planned.rows)}
        try:
            with closing(job.stream()) as results:
                self._add_lines(planned, record, _Results(results), failures, not_run)
        except ResultsPruned:
            self.add_missing(planned, _PRUNED)

    def _add_lines(
        self,
        planned: PlannedJob,
        record: JobRecord,
        results: _Results,
        failures: Mapping[int, str],
        not_run: LineError,
    ) -> None:
        start = 0
        for line in self._lines(planned):
            rows = range(start, start + line.rows)
            start = rows.stop
            outputs = results.take(rows)
            failed = next((row for row in rows if row in failures), None)
            if failed is not None:
                self._files.add_failure(line, row_failure(line.request, failed - rows.start, failures[failed]))
            elif len(outputs) < len(rows):
                self._add_not_run(line, not_run)
            else:
                self._add_answer(line, outputs, record)

    def _add_answer(self, line: Line, outputs: Sequence[dict[str, JsonValue]], record: JobRecord) -> None:
        origin = Origin(
            line_name(self._batch.id, line.number),
            int(record.created_at.timestamp()),
            f"{record.model}:{record.version}",
        )
        try:
            body = answer(line.request, outputs, origin)
        except Problem as problem:
            self._files.add_failure(line, problem)
        else:
            self._files.add_answer(line, body)

    def _add_not_run(self, line: Line, error: LineError) -> None:
        self.has_expired = self.has_expired or error is EXPIRED
        self._files.add_error(line.number, line.custom_id, error)

    def _lines(self, planned: PlannedJob) -> Iterator[Line]:
        for line in read_lines(self._store, planned.lines, Endpoint(self._batch.endpoint)):
            self._check()
            yield line

    def _reason(self, record: JobRecord) -> LineError:
        """Why rows of a job have neither a result nor an error."""
        if record.id in self._expired or record.error == late_reason(self._batch.id):
            return EXPIRED
        if record.error == cancel_reason(self._batch.id):
            return CANCELLED
        return LineError("job_failed", f"the job {record.id} {record.state}: {record.error or record.state}")


class _Results:
    """The results of a job, which are taken in the order of their rows."""

    def __init__(self, results: Generator[ResultRow, None, None]) -> None:
        self._results = results
        self._next = next(results, None)

    def take(self, rows: range) -> list[dict[str, JsonValue]]:
        """Those of some rows; the rows before them were taken."""
        outputs = []
        while self._next is not None and self._next.row < rows.stop:
            outputs.append(self._next.output)
            self._next = next(self._results, None)
        return outputs


def line_name(batch: str, number: int) -> str:
    """32 hexadecimal digits, the same each time for a line of a batch."""
    return hashlib.sha256(f"{batch}/{number}".encode()).hexdigest()[:32]


def _entry(name: str, custom_id: str | None, response: JsonValue, error: JsonValue) -> JsonValue:
    return {"id": f"batch_req_{name}", "custom_id": custom_id, "response": response, "error": error}


def _first(counts: Mapping[str, JsonValue], *names: str) -> int:
    values = [counts[name] for name in names if name in counts]
    return next((value for value in values if isinstance(value, int)), 0)
