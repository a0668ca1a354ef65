"""Showing one job, and waiting for it."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from longshore.producers.cli.options import Options
from longshore.producers.cli.output import note, print_fields, print_json
from longshore.producers.cli.views.addresses import in_home
from longshore.producers.cli.views.json_documents import job_document, local_time, measured, named
from longshore.producers.reporting.progress import progress_of, rate_text, time_text, unit
from longshore.shared.errors import JobFailed
from longshore.shared.store.address import public

if TYPE_CHECKING:
    from longshore.producers.job import Job
    from longshore.shared.ledger.records import JobRecord


def print_submitted(options: Options, job: Job, wait: bool) -> None:
    """Answer a submission: the job's id, or after waiting, how it ended.

    :raises JobFailed: it was waited for, and failed.
    """
    if wait:
        with interruptible(options, job):
            # Inside: who reads this may press Ctrl-C at once.
            note(f"submitted {job.id}")
            follow(options, job)
    elif options.as_json:
        print_json(job_document(job.record()))
    else:
        sys.stdout.write(f"{job.id}\n")
        note(f"submitted; to see it end: {in_home(options.home, f'longshore jobs wait {job.id}')}")


def follow(options: Options, job: Job, timeout: float | None = None) -> None:
    """Wait for a job with a progress bar, if people look on, and show it.

    :raises JobFailed: it failed or was cancelled.
    :raises WaitTimeout: it has not ended in time.
    :raises KeyboardInterrupt: on Ctrl-C; says that the job goes on.
    """
    sys.stdout.flush()
    try:
        with interruptible(options, job):
            job.wait(timeout)
    except JobFailed as error:
        if options.as_json:
            print_json(job_document(job.record()))
        raise JobFailed(f"{error} (see {in_home(options.home, f'longshore jobs show {job.id}')})") from None
    print_job(options, job.record())


@contextmanager
def interruptible(options: Options, job: Job) -> Iterator[None]:
    """Tell who presses Ctrl-C that the job goes on, and what to do about it."""
    try:
        yield
    except KeyboardInterrupt:
        again = in_home(options.home, f"longshore jobs wait {job.id}")
        stop = in_home(options.home, f"longshore jobs cancel {job.id}")
        raise KeyboardInterrupt(f"the job goes on; to wait again: {again}; to end it: {stop}") from None


def print_job(options: Options, record: JobRecord) -> None:
    """The job itself."""
    if options.as_json:
        print_json(job_document(record))
    else:
        print_fields(summary(record))


def summary(record: JobRecord) -> dict[str, object]:
    """A job as people read it."""
    progress = progress_of(record)
    total = "?" if record.rows_total is None else f"{record.rows_total:,}"
    failed = f", {record.rows_failed:,} failed" if record.rows_failed else ""
    outcome = record.outcome or {}
    made = named(record.model, int(str(outcome["version"]))) if "version" in outcome else None
    return {
        "job": record.id,
        "kind": record.kind,
        "model": named(record.model, record.version),
        "state": record.state,
        "progress": f"{progress.done:,} of {total} {unit(record.kind)}{failed}",
        "speed": rate_text(progress.rate, record.kind),
        "time left": time_text(progress.remaining),
        "shards": f"{record.shards_done} of {record.shards_total} done",
        "output": None if record.spec.get("output") is None else public(str(record.spec["output"])),
        "made": made,
        "best": best["shown"] if isinstance(best := outcome.get("best"), dict) else None,
        "promotion": _promoted(outcome.get("promotion")),
        "metrics": measured(outcome.get("metrics")),
        "deviation": measured(outcome.get("std")),
        "after": record.depends_on,
        "error": record.error,
        "notes": "; ".join(record.notes),
        "producer": record.producer,
        "priority": record.priority,
        "submitted": local_time(record.created_at),
        "started": local_time(record.started_at),
        "ended": local_time(record.finished_at),
        "deadline": local_time(record.deadline),
        "pruned": local_time(record.pruned_at),
    }


def _promoted(promotion: object) -> str | None:
    """What became of the alias of a training with a condition; why it stayed stands in the notes."""
    if not isinstance(promotion, dict):
        return None
    alias, before = promotion.get("alias"), promotion.get("previous")
    was = "" if before is None else f", before version {before}"
    return f"{alias} moved{was}" if promotion.get("promoted") else f"{alias} stayed"
