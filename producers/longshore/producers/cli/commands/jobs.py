"""``longshore jobs``: listing, showing and controlling jobs."""

from __future__ import annotations

import sys
from typing import Literal

import click

from longshore.producers.cli.commands.job_logs import logs
from longshore.producers.cli.commands.training_reports import plot, report, tensorboard
from longshore.producers.cli.connect import connected, find_settings, open_ledger
from longshore.producers.cli.options import Options, shared_options, with_options
from longshore.producers.cli.output import print_json, print_table
from longshore.shared.vocabulary import JobKind, State

#: The maximum number of errors that ``show`` prints.
MAX_ERRORS = 20
STATES = tuple(state.value for state in State)
KINDS = tuple(kind.value for kind in JobKind)


@click.group(invoke_without_command=True)
@shared_options
@click.pass_context
def jobs(context: click.Context) -> None:
    """List, show, plot, wait for, cancel and retry jobs."""
    if context.invoked_subcommand is None:
        raise click.UsageError(f"missing command, one of: {', '.join(jobs.commands)}", context)


@jobs.command("list")
@click.option("--state", type=click.Choice(STATES), help="Only jobs in this state.")
@click.option("--kind", type=click.Choice(KINDS), help="Only jobs of this kind.")
@click.option("--limit", type=click.IntRange(min=1), default=100, show_default=True, help="Maximum number of jobs.")
@with_options
def list_jobs(options: Options, state: str | None, kind: str | None, limit: int) -> None:
    """List jobs, newest first."""
    with open_ledger(find_settings(options)) as ledger:
        from longshore.producers.cli.views.json_documents import JOB_HEADERS, job_document, job_row
        from longshore.shared.vocabulary import State

        records = ledger.queries.jobs(state=None if state is None else State(state), kind=kind, limit=limit)
    if options.as_json:
        print_json([job_document(record) for record in records])
    else:
        print_table(JOB_HEADERS, [job_row(record) for record in records])


@jobs.command()
@click.argument("job")
@with_options
def show(options: Options, job: str) -> None:
    """Show a job: state, result, metrics and errors."""
    with connected(options) as client:
        handle = client.job(job)
        if options.as_json:
            from longshore.producers.cli.views.json_documents import job_details_document

            print_json(job_details_document(handle))
        else:
            from longshore.producers.cli.views.job_details import print_job_details

            print_job_details(handle, max_errors=MAX_ERRORS)


@jobs.command()
@click.argument("job")
@click.option("--timeout", type=click.FloatRange(min=0), metavar="SECONDS", help="Stop waiting after this time.")
@with_options
def wait(options: Options, job: str, timeout: float | None) -> None:
    """Wait until a job has ended.

    The exit code is 1 if it failed, was cancelled, or did not end in time.
    """
    with connected(options) as client:
        from longshore.producers.cli.views.job_view import follow

        follow(options, client.job(job), timeout)


@jobs.command()
@click.argument("job")
@with_options
def cancel(options: Options, job: str) -> None:
    """Cancel a job. The results of its finished shards are kept."""
    with connected(options) as client:
        handle = client.job(job)
        cancelled = handle.cancel()
        state = handle.state
    if options.as_json:
        print_json({"id": handle.id, "cancelled": cancelled, "state": state})
    else:
        sys.stdout.write(f"{handle.id} cancelled\n" if cancelled else f"{handle.id} had already ended: {state}\n")


@jobs.command()
@click.argument("job")
@click.option("--rows", type=click.Choice(("failed",)), help="Also run the rows that have errors.")
@click.option("--wait/--no-wait", default=False, help="Wait until the job has ended.")
@with_options
def retry(options: Options, job: str, rows: Literal["failed"] | None, wait: bool) -> None:
    """Run the unsuccessful shards of a job again.

    The job must have failed or been cancelled. With --rows failed, it can also have succeeded with errors.
    """
    with connected(options) as client:
        from longshore.producers.cli.views.job_view import print_submitted

        print_submitted(options, client.job(job).retry(rows), wait)


@jobs.command()
@click.argument("job")
@click.option("--epochs", type=click.IntRange(min=1), required=True, help="Additional epochs.")
@click.option("--wait/--no-wait", default=False, help="Wait until the job has ended.")
@with_options
def extend(options: Options, job: str, epochs: int, wait: bool) -> None:
    """Continue a training job for more epochs.

    This is a new job, which creates a new version.
    """
    with connected(options) as client:
        from longshore.producers.cli.views.job_view import print_submitted

        print_submitted(options, client.job(job).extend(epochs), wait)


for command in (logs, plot, report, tensorboard):
    jobs.add_command(command)
