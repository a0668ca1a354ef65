"""What each worker does now."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from longshore.producers.reporting.human import time_text
from longshore.producers.reporting.progress import progress_of, unit
from longshore.shared.ledger.ledger import Ledger
from longshore.shared.ledger.records import JobRecord, WorkerRecord
from longshore.shared.vocabulary import JobKind, State


@dataclass(frozen=True, kw_only=True)
class DeviceWork:
    """A worker and what it does now."""

    worker: WorkerRecord
    #: The job that it runs, or the first of several; ``None`` if it is idle, or runs a job that this user may not see.
    job: JobRecord | None
    #: How many jobs it runs, in one batch.
    jobs: int

    @property
    def remaining(self) -> float | None:
        """Seconds left of the job; ``None`` if they are not known."""
        return None if self.job is None else progress_of(self.job).remaining


def read_devices(ledger: Ledger) -> list[DeviceWork]:
    """Every worker that has reported and was not removed since, by name, and what it runs."""
    workers = ledger.workers.workers()
    names = {worker.name for worker in workers}
    running = [each for each in ledger.activity.running() if each.worker in names]
    first, counts = {each.worker: each.job_id for each in reversed(running)}, dict.fromkeys(names, 0)
    for each in running:
        counts[each.worker] += 1
    jobs = ledger.queries.some_jobs(sorted(set(first.values())))
    return [
        DeviceWork(worker=worker, job=jobs.get(first[worker.name]) if worker.name in first else None, jobs=count)
        for worker in workers
        for count in (counts[worker.name],)
    ]


def job_text(record: JobRecord) -> str:
    """What a job does, such as ``train cifar``, or ``infer digits:3``."""
    version = "" if record.version is None else f":{record.version}"
    return f"{record.kind} {record.model}{version}"


def progress_text(record: JobRecord) -> str:
    """How far a job is, such as ``epoch 7 of 40`` or ``4,096 of 100,000 rows``; empty if there is nothing to say."""
    progress = progress_of(record)
    if progress.total is None:
        return f"{progress.done:,} {unit(record.kind)}" if progress.done else ""
    if record.kind == JobKind.TRAIN and record.state is State.RUNNING:
        return f"epoch {min(progress.done + 1, progress.total):,} of {progress.total:,}"
    tokens = progress.token_rates if record.state is State.RUNNING else None
    speed = "" if tokens is None else f", {tokens}"
    return f"{progress.done:,} of {progress.total:,} {unit(record.kind)}{speed}"


def remaining_text(record: JobRecord) -> str:
    """The time left, such as ``about 3m 20s left``; empty if it is not known."""
    remaining = progress_of(record).remaining
    return "" if remaining is None else f"about {time_text(remaining)} left"


def described(record: JobRecord) -> str:
    """A job for people: its id, and in parentheses what it does and how far it is."""
    facts: Sequence[str] = (job_text(record),)
    if record.state is State.RUNNING:
        facts = (job_text(record), progress_text(record), remaining_text(record))
    return f"{record.id} ({', '.join(fact for fact in facts if fact)})"
