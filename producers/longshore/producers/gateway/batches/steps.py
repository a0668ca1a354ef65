"""The steps of a batch. Each begins with what the ledger says, and ends with one change of it."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Final, TypeAlias
from uuid import UUID

from pydantic import JsonValue

from longshore.producers.client import Client
from longshore.producers.gateway.batches.input_lines import LineError
from longshore.producers.gateway.batches.output import cancel_reason, late_reason, write_output
from longshore.producers.gateway.batches.plan import read_plan
from longshore.producers.gateway.batches.reading import InputReader, Limits, Read, TooManyLines
from longshore.producers.gateway.batches.submitting import known_jobs, submit_jobs
from longshore.producers.gateway.settings import GatewaySettings
from longshore.shared.errors import CorruptBlob, QueueFull, ServiceUnavailable, UnknownJob
from longshore.shared.fault_point import fault_point
from longshore.shared.ledger.database import Connection
from longshore.shared.ledger.gateway.batches import BatchEnd, BatchRecord, HeldBatch
from longshore.shared.ledger.gateway.webhooks import Webhooks
from longshore.shared.store.store import Store

#: States in which a batch has ended.
ENDED: Final = ("completed", "failed", "expired", "cancelled")
#: How often a step is tried that fails, and if the store has lost something; outages do not count.
MAX_TRIES: Final = 8
MAX_STORE_TRIES: Final = 2
#: Seconds before the second try; twice as many before the next one, up to a longest pause.
FIRST_PAUSE_S: Final = 5.0
LONGEST_PAUSE_S: Final = 300.0

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Wait:
    """Nothing is to be done until jobs have ended, the batch is cancelled, or it expires."""


@dataclass(frozen=True)
class Again:
    """The step has failed, and is to be tried again after so many seconds."""

    seconds: float


@dataclass(frozen=True)
class Submitted:
    """Jobs were submitted, whose tokens are to be counted for a token.

    :param token_id: ``None`` if there is none.
    """

    token_id: str | None
    jobs: Sequence[UUID]


class DriverStopped(Exception):
    """The gateway stops: another one takes the step again."""


#: What to do after a step: wait; try again; count what was submitted; or read the batch again, if it is still in the
#: hands of this gateway.
Outcome: TypeAlias = Wait | Again | Submitted | bool


def next_step(
    batch: BatchRecord, held: HeldBatch, options: GatewaySettings, store: Store, check: Callable[[], None]
) -> Callable[[Client], Outcome] | None:
    """What a batch needs next; ``None`` if it has ended.

    The step raises ServiceUnavailable and QueueFull, which pass. Whatever else goes wrong is tried again some times,
    and then the batch fails.

    :param check: called at each line; what it raises ends the step.
    """
    if batch.state in ENDED:
        return None
    steps = _Steps(batch, held, options, store, check)
    step = _choose(batch, steps)

    def run(client: Client) -> Outcome:
        try:
            return step(client)
        except (DriverStopped, ServiceUnavailable, QueueFull):
            raise
        except Exception as error:
            return steps.try_again(client, error)

    return run


def _choose(batch: BatchRecord, steps: _Steps) -> Callable[[Client], Outcome]:
    if batch.state == "finalizing":
        return steps.write
    if batch.plan is None:
        # Whatever has become of the batch, each of its lines is in one of its files.
        return steps.read
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
        # Who cancels a batch does not care whether it could have been run.
        self._failed = "cancelled" if batch.state == "cancelling" else "failed"

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
        jobs, errors = submit_jobs(client, self._store, self._batch, self._held, plan, self._check)
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
            return Wait()
        for job in sorted(running):
            client.ledger.control.cancel(job, cancel_reason(batch.id) if is_cancelled else late_reason(batch.id))
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

    def try_again(self, client: Client, error: Exception) -> Outcome:
        """After a step has failed: try it again later, or end the batch if that was often enough."""
        batch = self._batch
        is_damaged = isinstance(error, CorruptBlob)
        if batch.tries + 1 < (MAX_STORE_TRIES if is_damaged else MAX_TRIES):
            pause = min(FIRST_PAUSE_S * 2**batch.tries, LONGEST_PAUSE_S)
            log.warning("a step of %s has failed, and is tried again in %g s", batch.id, pause, exc_info=error)
            return Again(pause)
        log.error("a step of %s fails each time; the batch is ended", batch.id, exc_info=error)
        message = f"the gateway cannot go on with this batch: {error or type(error).__name__}"
        try:
            for job in known_jobs(client, batch):
                with suppress(UnknownJob):
                    client.ledger.control.cancel(job, f"the batch {batch.id} has failed")
            return self.fail("store_damaged" if is_damaged else "internal_error", message)
        except Exception:
            log.exception("%s cannot be ended, which is tried again in %g s", batch.id, LONGEST_PAUSE_S)
            return Again(LONGEST_PAUSE_S)

    def fail(self, code: str, message: str, param: str | None = None) -> bool:
        """End a batch that cannot be run."""
        return self._end(BatchEnd(state=self._failed, errors=[_error(LineError(code, message, param), None)]))

    def _fail_lines(self, read: Read) -> bool:
        """End a batch all of whose lines cannot be run."""
        errors = [_error(line.error, line.number) for line in read.errors]
        return self._end(BatchEnd(state=self._failed, total=read.total, failed=read.bad, errors=errors))

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
