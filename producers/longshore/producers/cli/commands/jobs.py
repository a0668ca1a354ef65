"""``longshore jobs``: listing, showing and controlling jobs."""

from __future__ import annotations

from typing import Literal

import click

from longshore.producers.cli.commands.job_logs import logs
from longshore.producers.cli.commands.training_reports import plot, report, tensorboard
from longshore.producers.cli.completion import complete_job, complete_version
from longshore.producers.cli.connect import connected, find_settings, open_ledger
from longshore.producers.cli.lists import JOB_COLUMNS, JSON_LIMIT, TABLE_LIMIT, limit_of, list_options
from longshore.producers.cli.options import Options, shared_options, with_options
from longshore.producers.cli.output import print_json
from longshore.shared.errors import InvalidInput
from longshore.shared.vocabulary import JobKind, State

#: The maximum number of errors that ``show`` prints.
MAX_ERRORS = 20
STATES = tuple(state.value for state in State)
KINDS = tuple(kind.value for kind in JobKind)

#: One or several jobs: JOB...
several_jobs = click.argument("ids", nargs=-1, required=True, metavar="JOB...", shell_complete=complete_job)


@click.group(invoke_without_command=True)
@shared_options
@click.pass_context
def jobs(context: click.Context) -> None:
    """List, show, explain, plot, wait for, cancel and retry jobs."""
    if context.invoked_subcommand is None:
        raise click.UsageError(f"missing command, one of: {', '.join(jobs.commands)}", context)


@jobs.command("list")
@click.option(
    "--state", "states", type=click.Choice(STATES), multiple=True, help="Only jobs in this state; repeatable."
)
@click.option("--kind", "kinds", type=click.Choice(KINDS), multiple=True, help="Only jobs of this kind; repeatable.")
@click.option(
    "--model",
    shell_complete=complete_version,
    metavar="NAME",
    help="Only jobs of this model; with digits:3 or digits@production, those that have run or made that version.",
)
@click.option("--producer", metavar="NAME", help="Only jobs of this producer, such as user@host.")
@click.option("--mine", is_flag=True, help="Only jobs of the producer who runs the command.")
@click.option("--since", metavar="AGE", help="Only jobs of at most this age, such as 30m, 2h or 7d.")
@click.option(
    "--before", shell_complete=complete_job, metavar="JOB", help="Only jobs that were submitted before this one."
)
@click.option(
    "--after",
    shell_complete=complete_job,
    metavar="JOB",
    help="Only jobs that come after this one in the order of --sort.",
)
@list_options(JOB_COLUMNS, f"{TABLE_LIMIT} in a table, {JSON_LIMIT} with --json")
@with_options
def list_jobs(
    options: Options,
    states: tuple[str, ...],
    kinds: tuple[str, ...],
    model: str | None,
    producer: str | None,
    mine: bool,
    since: str | None,
    before: str | None,
    after: str | None,
    columns: tuple[str, ...] | None,
    sort: str | None,
    limit: int | None,
) -> None:
    """List jobs, newest first or in the order of --sort.

    On a terminal, ids are as short as they can be, and less important columns are left out if there is no room.
    """
    settings = find_settings(options)
    if mine and producer is not None:
        raise InvalidInput("--mine", "write either --mine or --producer")
    if after is not None and sort is None:
        raise InvalidInput("--after", "goes on with a list of --sort; the newest jobs go on with --before JOB")
    with open_ledger(settings) as ledger:
        from longshore.producers.cli.views.job_list import print_jobs
        from longshore.producers.documents.jobs import job_document
        from longshore.producers.job_filter import job_filter
        from longshore.producers.job_ids import find_job
        from longshore.shared.ledger.jobs.filter import JobOrder

        chosen = job_filter(
            ledger,
            states=states,
            kinds=kinds,
            model=model,
            producer=settings.producer if mine else producer,
            since=since,
            before=None if before is None else find_job(ledger, before, settings.producer),
        )
        count = limit_of(limit, as_json=options.as_json)
        # One more than asked for: it says whether there are more.
        if sort is None:
            records = ledger.queries.jobs(chosen, count + 1)
        else:
            order = JobOrder(key=sort.removeprefix("-"), descending=sort.startswith("-"))
            start = None if after is None else find_job(ledger, after, settings.producer)
            records = ledger.queries.sorted_jobs(chosen, order, count + 1, start)
        page = records[:count]
        if options.as_json:
            print_json([job_document(record) for record in page])
        else:
            next_page = page[-1].id if len(records) > count else None
            print_jobs(ledger, page, columns, next_page, order=sort)


@jobs.command()
@click.argument("job", shell_complete=complete_job)
@with_options
def show(options: Options, job: str) -> None:
    """Show a job: state, result, metrics and errors."""
    with connected(options) as client:
        handle = client.job(job)
        if options.as_json:
            from longshore.producers.documents.jobs import job_details

            print_json(job_details(handle))
        else:
            from longshore.producers.cli.views.job_details import print_job_details

            print_job_details(handle, max_errors=MAX_ERRORS)


@jobs.command()
@click.argument("job", shell_complete=complete_job)
@with_options
def why(options: Options, job: str) -> None:
    """Say why a job is in its state, what was tried, and what to do now."""
    with connected(options) as client:
        from longshore.producers.cli.views.why_view import print_why

        print_why(options, client.job(job).why(), client.ledger)


@jobs.command()
@several_jobs
@click.option("--timeout", type=click.FloatRange(min=0), metavar="SECONDS", help="Stop waiting after this time.")
@with_options
def wait(options: Options, ids: tuple[str, ...], timeout: float | None) -> None:
    """Wait until jobs have ended.

    The exit code is 1 if one of them failed, was cancelled, or did not end in time.
    """
    with connected(options) as client:
        from longshore.producers.cli.views.job_view import follow
        from longshore.producers.cli.views.several_jobs import find_each, follow_all

        chosen = find_each(client, ids)
        if len(chosen) == 1:
            follow(options, chosen[0], timeout)
        else:
            follow_all(options, client, chosen, timeout)


@jobs.command()
@several_jobs
@with_options
def cancel(options: Options, ids: tuple[str, ...]) -> None:
    """Cancel jobs. The results of their finished shards are kept, and so is the last checkpoint of a training."""
    with connected(options) as client:
        from longshore.producers.cli.views.several_jobs import cancel_each, find_each

        cancel_each(options, find_each(client, ids))


@jobs.command()
@several_jobs
@click.option("--rows", type=click.Choice(("failed",)), help="Also run the rows that have errors.")
@click.option("--wait/--no-wait", default=False, help="Wait until the job has ended.")
@with_options
def retry(options: Options, ids: tuple[str, ...], rows: Literal["failed"] | None, wait: bool) -> None:
    """Run the unsuccessful shards of jobs again.

    The jobs must have failed or been cancelled. With --rows failed, they can also have succeeded with errors.
    """
    with connected(options) as client:
        from longshore.producers.cli.views.job_view import print_submitted
        from longshore.producers.cli.views.several_jobs import find_each, retried, retry_each

        chosen = find_each(client, ids)
        if len(chosen) == 1:
            job = chosen[0].retry(rows)
            print_submitted(options, job, wait, retried(client, job))
        else:
            retry_each(options, client, chosen, rows, wait)


@jobs.command()
@click.argument("job", shell_complete=complete_job)
@click.option("--epochs", type=click.IntRange(min=1), required=True, help="Additional epochs.")
@click.option("--wait/--no-wait", default=False, help="Wait until the job has ended.")
@with_options
def extend(options: Options, job: str, epochs: int, wait: bool) -> None:
    """Continue a training job for more epochs.

    This is a new job, which creates a new version.
    """
    with connected(options) as client:
        from longshore.producers.cli.views.job_view import print_submitted

        parent = client.job(job)
        done = ("submitted", f"it goes on from the last checkpoint of {parent.id}")
        print_submitted(options, parent.extend(epochs), wait, done)


for command in (logs, plot, report, tensorboard):
    jobs.add_command(command)
