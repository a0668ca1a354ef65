"""Why a job is in its state, and what its owner can do."""

from __future__ import annotations

from dataclasses import dataclass, replace
from uuid import UUID

from longshore.producers.reporting.activity.devices import described, progress_text, remaining_text
from longshore.producers.reporting.activity.ended import what_is_kept, why_ended
from longshore.producers.reporting.activity.queued import check_relay, why_queued
from longshore.producers.reporting.activity.reason import NextStep, Reason
from longshore.shared.errors import UnknownJob
from longshore.shared.ledger.activity import FailureRecord
from longshore.shared.ledger.ledger import Ledger
from longshore.shared.ledger.records import JobRecord
from longshore.shared.vocabulary import State

#: Failed attempts that are named, at most.
MAX_FAILURES = 5
#: Jobs up a chain that are looked at.
_MAX_CHAIN = 100


@dataclass(frozen=True, kw_only=True)
class Why:
    """Why a job is in its state. ``str`` gives all of it, as ``longshore jobs why`` prints it."""

    job: UUID
    state: State
    #: One sentence, without a full stop: ``no gpu worker is alive``.
    reason: str
    #: More facts, such as its position in the queue.
    details: tuple[str, ...] = ()
    #: What was tried without success, the newest attempts first.
    failures: tuple[FailureRecord, ...] = ()
    #: What can be done now.
    next: tuple[NextStep, ...] = ()

    def __str__(self) -> str:
        lines = [f"{self.state}: {self.reason}", *(f"- {detail}" for detail in self.details)]
        lines += [f"- {failure_text(failure)}" for failure in self.failures]
        return "\n".join([*lines, *(str(step) for step in self.next)])

    @property
    def summary(self) -> str:
        """What has become of the job and what was kept of it, on one line, without the failed attempts."""
        return "; ".join((self.reason, *self.details))


def failure_text(failure: FailureRecord) -> str:
    """A failed attempt on one line."""
    worker = "" if failure.worker is None else f" on {failure.worker}"
    return f"attempt {failure.attempt} at shard {failure.shard}{worker} failed: {failure.error}"


def explain(ledger: Ledger, record: JobRecord) -> Why:
    """Find out why a job is in its state. It reads little, however many shards the job has and however many wait.

    :raises ServiceUnavailable: Postgres cannot be reached.
    """
    if record.state.final:
        reason = why_ended(ledger, record)
    elif record.state is State.WAITING:
        reason = _why_waiting(ledger, record)
    elif record.state is State.RUNNING:
        reason = _why_running(ledger, record)
    else:
        queued = why_queued(ledger, record)
        reason = replace(queued, details=(*queued.details, *what_is_kept(ledger, record, "it")))
    if not record.state.final:
        reason = replace(reason, details=(*reason.details, *_limit(ledger, record)))
    has_tried = record.state is not State.WAITING and record.state is not State.SUCCEEDED
    return Why(
        job=record.id,
        state=record.state,
        reason=reason.text,
        details=reason.details,
        failures=tuple(ledger.activity.failures(record.id, MAX_FAILURES)) if has_tried else (),
        next=reason.next,
    )


def _why_waiting(ledger: Ledger, record: JobRecord) -> Reason:
    upstream = record
    for _ in range(_MAX_CHAIN):
        if upstream.state is not State.WAITING or upstream.depends_on is None:
            break
        try:
            upstream = ledger.queries.job(upstream.depends_on)
        except UnknownJob:
            return Reason(f"the job before it, {upstream.depends_on}, does not exist any more")
    if upstream.state.final:
        start = f"the job before it, {upstream.id}, has {'succeeded' if upstream.state is State.SUCCEEDED else 'ended'}"
        return check_relay(ledger) or Reason(f"{start}; the relay moves this one on in a moment")
    above = _why_running(ledger, upstream) if upstream.state is State.RUNNING else why_queued(ledger, upstream)
    waits = f"it waits for {described(upstream)}"
    if upstream.state is State.RUNNING:
        return Reason(waits, details=(above.text,))
    return replace(above, text=f"{waits}, which is {upstream.state}: {above.text}")


def _why_running(ledger: Ledger, record: JobRecord) -> Reason:
    running = [each for each in ledger.activity.running() if each.job_id == record.id]
    at_work = [each.worker for each in running if not each.expired]
    lost = [each.worker for each in running if each.expired]
    details = []
    if record.shards_total > 1:
        details.append(f"{record.shards_done:,} of {record.shards_total:,} shards are done")
    if record.waits_for is not None and at_work:
        details.append(f"a shard waits for the end of an outage: {record.waits_for}")
    if lost:
        details.append(f"{_names(lost)} had shards of it and is silent; other workers get them within a minute")
    if not at_work:
        queued = why_queued(ledger, record)
        return replace(queued, text=f"no worker has it now; {queued.text}", details=(*details, *queued.details))
    facts = (f"it runs on {_names(at_work)}", progress_text(record), remaining_text(record))
    return Reason(", ".join(fact for fact in facts if fact), details=tuple(details))


def _limit(ledger: Ledger, record: JobRecord) -> tuple[str, ...]:
    limit = ledger.producer_limits.of(record.producer)
    if limit is None:
        return ()
    return (f"{record.producer} has {limit.jobs:,} of the {limit.max_jobs:,} jobs that it may have",)


def _names(workers: list[str]) -> str:
    shown = ", ".join(workers[:3])
    return shown if len(workers) <= 3 else f"{shown} and {len(workers) - 3} more workers"
