"""Printing a job, and waiting for it."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING

from longshore.producers.cli.options import Options
from longshore.producers.cli.output import note, print_fields, print_json
from longshore.producers.cli.views.addresses import in_home
from longshore.producers.cli.views.short_values import metrics_text, version_text
from longshore.producers.documents.jobs import job_document
from longshore.producers.reporting.best_epoch import best_epoch, final_metrics_line
from longshore.producers.reporting.human import duration_text, local_time, time_ago, time_text
from longshore.producers.reporting.progress import progress_of, unit
from longshore.producers.reporting.tokens import speed_text, token_usage
from longshore.shared.errors import JobFailed
from longshore.shared.store.address import public

if TYPE_CHECKING:
    from longshore.producers.job import Job
    from longshore.shared.ledger.records import JobRecord

#: Notes of a job that was waited for, at most; ``jobs show`` prints all of them.
MAX_NOTES = 2


def print_submitted(options: Options, job: Job, wait: bool, done: Sequence[str] = ("submitted",)) -> None:
    """Print the id of a submitted job, or, with ``wait``, wait for it and print how it ended.

    :param done: what the note says first: what was done with the job, and what follows from it.
    :raises JobFailed: the job failed or was cancelled while this waited for it.
    """
    if wait:
        with interruptible(options, job):
            # Inside the handler: people can press Ctrl-C as soon as they read this.
            note("; ".join((f"{done[0]} {job.id}", *done[1:])))
            follow(options, job)
    elif options.as_json:
        print_json(job_document(job.record()))
    else:
        sys.stdout.write(f"{job.id}\n")
        note("; ".join((*done, f"to wait for it: {in_home(options.home, f'longshore jobs wait {job.id}')}")))


def follow(options: Options, job: Job, timeout: float | None = None) -> None:
    """Wait for a job, with a progress bar on a terminal, and print it.

    :param timeout: seconds; ``None`` waits forever.
    :raises JobFailed: the job failed or was cancelled.
    :raises WaitTimeout: the job did not end in time.
    :raises KeyboardInterrupt: on Ctrl-C; the message says that the job continues to run.
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
    """On Ctrl-C, say that the job continues to run, and how to wait for it or cancel it."""
    try:
        yield
    except KeyboardInterrupt:
        wait = in_home(options.home, f"longshore jobs wait {job.id}")
        cancel = in_home(options.home, f"longshore jobs cancel {job.id}")
        raise KeyboardInterrupt(f"the job continues to run; to wait again: {wait}; to cancel it: {cancel}") from None


def print_job(options: Options, record: JobRecord) -> None:
    """Print a job."""
    if options.as_json:
        print_json(job_document(record))
    else:
        fields = summary(record)
        if len(record.notes) > MAX_NOTES:
            more = f"and {len(record.notes) - MAX_NOTES} more: longshore jobs show {record.id}"
            fields["notes"] = (*record.notes[:MAX_NOTES], more)
        print_fields(fields)


def summary(record: JobRecord, why: str | None = None) -> dict[str, object]:
    """The fields of a job for people.

    :param why: the reason why it has not ended.
    """
    progress = progress_of(record)
    total = "?" if record.rows_total is None else f"{record.rows_total:,}"
    failed = f", {record.rows_failed:,} failed" if record.rows_failed else ""
    outcome = record.outcome or {}
    best_of_training = best_epoch(record)
    new_version = version_text(record.model, int(str(outcome["version"]))) if "version" in outcome else None
    return {
        "job": record.id,
        "kind": record.kind,
        "model": version_text(record.model, record.version),
        "state": record.state,
        "why": why,
        "progress": f"{progress.done:,} of {total} {unit(record.kind)}{failed}",
        "speed": speed_text(progress, record.kind),
        "tokens": token_usage(record),
        "time left": time_text(progress.remaining),
        "not run": _not_run(outcome),
        "shards": f"{record.shards_done} of {record.shards_total} done",
        "output": None if record.spec.get("output") is None else public(str(record.spec["output"])),
        "version": new_version,
        "best": best["shown"] if isinstance(best := outcome.get("best"), dict) else None,
        "promotion": _promotion_text(outcome.get("promotion")),
        "metrics": metrics_text(outcome.get("metrics")),
        "best epoch": None if best_of_training is None else best_of_training.text,
        "final metrics": final_metrics_line(outcome),
        "deviation": metrics_text(outcome.get("std")),
        "after": record.depends_on,
        "extends": record.extends,
        "waits for": record.waits_for,
        "error": record.error,
        "notes": tuple(record.notes),
        "producer": record.producer,
        "priority": record.priority,
        "submitted": time_ago(record.created_at),
        "started": time_ago(record.started_at),
        "ended": time_ago(record.finished_at),
        "took": duration_text(progress.seconds) if record.state.final and record.started_at else None,
        "deadline": local_time(record.deadline),
        "pruned": local_time(record.pruned_at),
    }


def _not_run(outcome: Mapping[str, object]) -> str | None:
    """What a job whose timeout ran out has left."""
    rows = outcome.get("rows_not_run")
    return f"{rows:,} rows; a retry goes on with them" if isinstance(rows, int) and rows else None


def _promotion_text(promotion: object) -> str | None:
    """Whether a training job with a condition moved its alias. The notes of the job give the reason if it did not."""
    if not isinstance(promotion, dict):
        return None
    alias, previous = promotion.get("alias"), promotion.get("previous")
    change = "" if previous is None else f", previously version {previous}"
    return f"{alias} moved{change}" if promotion.get("promoted") else f"{alias} not moved"
