"""Acting on several jobs with one command, and waiting for them.

The output for one job is the same as if the command took only one. In JSON, several jobs are a list.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Literal

from longshore.producers.cli.options import Options
from longshore.producers.cli.output import note, print_json
from longshore.producers.cli.views.addresses import in_home
from longshore.producers.cli.views.short_values import version_text
from longshore.producers.documents.jobs import job_document
from longshore.producers.reporting.activity.ended import what_is_kept
from longshore.producers.reporting.human import duration_text
from longshore.producers.reporting.progress import progress_of
from longshore.shared.errors import InvalidInput, JobFailed
from longshore.shared.vocabulary import State

if TYPE_CHECKING:
    from longshore.producers.client import Client
    from longshore.producers.job import Job

#: Jobs that an error names, at most.
MAX_NAMED = 10


def find_each(client: Client, ids: Sequence[str]) -> list[Job]:
    """The jobs, each once, in the order given. If one cannot be found, nothing is done to the others.

    :raises UnknownJob: there is no such job.
    :raises AmbiguousJob: several ids start like one of these.
    """
    jobs = [client.job(id_) for id_ in ids]
    return list({job.id: job for job in jobs}.values())


def cancel_each(options: Options, jobs: Sequence[Job]) -> None:
    """Cancel jobs, and print for each whether it was cancelled or had ended before."""
    documents = []
    for job in jobs:
        cancelled = job.cancel()
        state = job.state
        documents.append({"id": job.id, "cancelled": cancelled, "state": state})
        if not options.as_json:
            sys.stdout.write(f"{job.id} cancelled\n" if cancelled else f"{job.id} had already ended: {state}\n")
            sys.stdout.flush()
        if cancelled:
            note_kept(options, job)
    if options.as_json:
        print_json(documents[0] if len(documents) == 1 else documents)


def note_kept(options: Options, job: Job) -> None:
    """Say what was kept of a job that has just ended, and how to go on."""
    why = job.why()
    steps = [f"{step.purpose}: {in_home(options.home, step.command)}" for step in why.next]
    note("; ".join((why.summary, *steps)))


def retried(client: Client, job: Job) -> tuple[str, ...]:
    """That a job runs again, and what it goes on from."""
    return ("queued again", *what_is_kept(client.ledger, job.record(), "it"))


def retry_each(
    options: Options, client: Client, jobs: Sequence[Job], rows: Literal["failed"] | None, wait: bool
) -> None:
    """Retry several jobs, and print their ids or, with ``wait``, how they ended.

    :raises InvalidInput: some cannot be retried; the others are.
    :raises JobFailed: a job failed while this waited for it.
    """
    again, refused = _try_each(jobs, lambda job: job.retry(rows))
    if wait:
        follow_all(options, client, again, None)
    elif options.as_json:
        print_json([job_document(job.record()) for job in again])
    else:
        for job in again:
            sys.stdout.write(f"{job.id}\n")
            sys.stdout.flush()
            note("; ".join(retried(client, job)))
    if refused:
        reasons = "\n".join(f"  {error.reason}" for error in refused[:MAX_NAMED])
        raise InvalidInput("job", f"{len(refused)} of {len(jobs)} jobs could not be retried:\n{reasons}")


def follow_all(options: Options, client: Client, jobs: Sequence[Job], timeout: float | None) -> None:
    """Wait for several jobs, and print a line for each when it ends, or all of them as JSON in the end.

    :param timeout: seconds; ``None`` waits forever.
    :raises JobFailed: some failed or were cancelled.
    :raises WaitTimeout: some did not end in time.
    :raises KeyboardInterrupt: on Ctrl-C; the message says that the jobs continue to run.
    """

    def print_ended(job: Job) -> None:
        record = job.record()
        name = version_text(record.model, record.version)
        sys.stdout.write(
            f"{record.id}  {record.kind} {name} {record.state} after {duration_text(progress_of(record).seconds)}\n"
        )
        sys.stdout.flush()

    if not options.as_json:
        note(f"waiting for {len(jobs)} jobs")
    try:
        client.wait(jobs, timeout, None if options.as_json else print_ended)
    except KeyboardInterrupt:
        raise KeyboardInterrupt("the jobs continue to run; longshore jobs cancel JOB... cancels them") from None
    records = [job.record() for job in jobs]
    if options.as_json:
        print_json([job_document(record) for record in records])
    failed = [f"  {record.id} {record.state}" for record in records if record.state is not State.SUCCEEDED]
    if failed:
        more = [f"  and {len(failed) - MAX_NAMED} more"] if len(failed) > MAX_NAMED else []
        lines = "\n".join([*failed[:MAX_NAMED], *more])
        raise JobFailed(
            f"{len(failed)} of {len(jobs)} jobs did not succeed; longshore jobs show has the reason:\n{lines}"
        )


def _try_each(jobs: Sequence[Job], act: Callable[[Job], Job]) -> tuple[list[Job], list[InvalidInput]]:
    """What was done, and the errors of jobs to which it could not be done."""
    done: list[Job] = []
    refused: list[InvalidInput] = []
    for job in jobs:
        try:
            done.append(act(job))
        except InvalidInput as error:
            refused.append(error)
    return done, refused
