"""The steps of a batch. Each begins with what the ledger says, and ends with one change of it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final, TypeAlias
from uuid import UUID

from pydantic import JsonValue

from longshore.producers.client import Client
from longshore.producers.gateway.batches.input_lines import LineError
from longshore.producers.gateway.batches.output import write_output
from longshore.producers.gateway.batches.plan import read_plan
from longshore.producers.gateway.batches.reading import InputReader, Limits, Read, TooManyLines
from longshore.producers.gateway.batches.submitting import submit_jobs
from longshore.producers.gateway.settings import GatewaySettings
from longshore.shared.errors import CorruptBlob
from longshore.shared.fault_point import fault_point
from longshore.shared.ledger.database import Connection
from longshore.shared.ledger.gateway.batches import BatchEnd, BatchRecord, HeldBatch
from longshore.shared.ledger.gateway.webhooks import Webhooks
from longshore.shared.store.store import Store

#: States in which a batch has ended.
ENDED: Final = ("completed", "failed", "expired", "cancelled")
_LATE: Final = "the completion window of its batch has ended"


@dataclass(frozen=True)
class Wait:
    """Nothing is to be done until jobs have ended.

    :param seconds: how long to wait, at most.
    """

    jobs: Sequence[UUID]
    seconds: float


@dataclass(frozen=True)
class Submitted:
    """Jobs were submitted, whose tokens are to be counted for a token.

    :param token_id: ``None`` if there is none.
    """

    token_id: str | None
    jobs: Sequence[UUID]


#: What to do after a step: wait; count what was submitted; or read the batch again, if it is still in the hands of this
#: gateway.
Outcome: TypeAlias = Wait | Submitted | bool


def next_step(
    batch: BatchRecord, held: HeldBatch, options: GatewaySettings, store: Store, check: Callable[[], None]
) -> Callable[[Client], Outcome] | None:
    """What a batch needs next; ``None`` if it has ended.

    :param check: called at each line; what it raises ends the step.
    """
    if batch.state in ENDED:
        return None
    steps = _Steps(batch, held, options, store, check)
    step = _choose(batch, steps)

    def run(client: Client) -> Outcome:
        try:
            return step(client)
        except CorruptBlob as error:
            return steps.fail("store_damaged", str(error))

    return run


def _choose(batch: BatchRecord, steps: _Steps) -> Callable[[Client], Outcome]:
    if batch.state == "finalizing":
        return steps.write
    if batch.plan is None:
        return steps.read if batch.state == "validating" and not steps.is_late else steps.end_unread
    return steps.submit if batch.jobs is None else steps.look


class _Steps:
    """The steps of a batch, as it was read."""

    def __init__(
        self, batch: BatchRecord, held: HeldBatch, options: GatewaySettings, store: Store, check: Callable[[], None]
    ) -> None:
        self._batch = batch
        self._held = held
        self._options = options
        self._store = store
        self._check = check
        #: Whether the completion window has ended.
        self.is_late = batch.read_at >= batch.expires_at

    def read(self, client: Client) -> bool:
        """Check the lines of the file, and write down what is to be run."""
        batch = self._batch
        file = client.ledger.files.find(self._held.producer, batch.input_file_id)
        if file is None:
            return self.fail("file_not_found", f"there is no file {batch.input_file_id!r}", "input_file_id")
        if file.bytes > self._options.max_batch_bytes:
            return self.fail("file_too_large", f"more than {self._options.max_batch_bytes:,} bytes", "input_file_id")
        limits = Limits(self._options.max_batch_requests, self._options.max_body_bytes)
        try:
            read = InputReader(client, self._store, batch, limits, self._check).read(file)
        except TooManyLines:
            return self.fail("too_many_requests", f"more than {limits.max_requests:,} lines; divide the file")
        fault_point("batch:file_read")
        if not read.total:
            return self.fail("empty_file", "the file has no lines", "input_file_id")
        if read.bad == read.total:
            return self._fail_lines(read)
        plan = self._store.put_blob(read.plan.model_dump_json().encode())
        fault_point("batch:plan_stored")
        models = sorted({job.model for job in read.plan.jobs})
        changed = self._held.set_plan(plan.digest, [plan.digest, *read.plan.digests], models, read.total, read.bad)
        fault_point("batch:plan_set")
        return changed is not None or self._is_held()

    def submit(self, client: Client) -> Outcome:
        """Submit the jobs that are not there yet."""
        assert self._batch.plan is not None  # it was read
        plan = read_plan(self._store, self._batch.plan)
        jobs, errors = submit_jobs(client, self._store, self._batch, plan, self._check)
        fault_point("batch:jobs_submitted")
        changed = self._held.set_jobs(jobs, errors)
        fault_point("batch:jobs_set")
        if changed is None:
            return self._is_held()
        return Submitted(self._batch.token_id, [job for job in jobs if job is not None])

    def look(self, client: Client) -> Outcome:
        """See whether the jobs have ended, and end them if it is time."""
        batch = self._batch
        running = client.ledger.queries.not_ended([job for job in batch.jobs or () if job is not None])
        is_cancelled = batch.state == "cancelling"
        if running and not is_cancelled and not self.is_late:
            return Wait(sorted(running), (batch.expires_at - batch.read_at).total_seconds())
        for job in sorted(running):
            client.ledger.control.cancel(job, f"the batch {batch.id} was cancelled" if is_cancelled else _LATE)
            fault_point("batch:job_cancelled")
        if is_cancelled:
            return self.write(client)
        changed = self._held.begin_finalizing()
        fault_point("batch:finalizing")
        return changed is not None or self._is_held()

    def write(self, client: Client) -> bool:
        """Write the files, and end the batch with them."""
        assert self._batch.plan is not None  # it was read
        end = write_output(client, self._store, self._batch, read_plan(self._store, self._batch.plan), self._check)
        fault_point("batch:files_written")
        return self._end(end)

    def end_unread(self, client: Client) -> bool:
        """End a batch that was cancelled, or has expired, before its file was read."""
        return self._end(BatchEnd(state="cancelled" if self._batch.state == "cancelling" else "expired"))

    def fail(self, code: str, message: str, param: str | None = None) -> bool:
        """End a batch whose file cannot be used."""
        return self._end(BatchEnd(state="failed", errors=[_error(LineError(code, message, param), None)]))

    def _fail_lines(self, read: Read) -> bool:
        """End a batch all of whose lines cannot be run."""
        errors = [_error(line.error, line.number) for line in read.errors]
        return self._end(BatchEnd(state="failed", total=read.total, failed=read.bad, errors=errors))

    def _end(self, end: BatchEnd) -> bool:
        ended = self._held.end(self._batch, end, self._tell)
        fault_point("batch:end_recorded")
        return ended is None and self._is_held()

    def _tell(self, conn: Connection, batch: BatchRecord) -> None:
        """Write the event of the end, for the webhooks of the producer."""
        Webhooks.add_event(conn, self._held.producer, f"batch.{batch.state}", {"id": batch.id})

    def _is_held(self) -> bool:
        """Whether a change that was not made was not, because somebody has cancelled the batch meanwhile."""
        return self._held.renew(self._options.batch_lease_s)


def _error(error: LineError, line: int | None) -> dict[str, JsonValue]:
    return {"code": error.code, "line": line, "message": error.message, "param": error.param}
