"""``longshore jobs``: what was submitted, and what became of it."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Literal

import click

from longshore.producers.cli.commands.training_reports import plot, report, tensorboard
from longshore.producers.cli.connect import connected, find_settings, open_ledger
from longshore.producers.cli.options import Options, shared_options, with_options
from longshore.producers.cli.output import print_json, print_table

if TYPE_CHECKING:
    from longshore.producers.job import Job

#: How many errors ``show`` shows.
ERRORS_SHOWN = 20
STATES = ("waiting", "queued", "running", "succeeded", "failed", "cancelled")
KINDS = ("infer", "train", "evaluate", "promote", "tune", "cross_validate")


@click.group(invoke_without_command=True)
@shared_options
@click.pass_context
def jobs(context: click.Context) -> None:
    """List, show, draw, wait for, cancel and retry jobs."""
    if context.invoked_subcommand is None:
        raise click.UsageError(f"give a command: {', '.join(jobs.commands)}", context)


@jobs.command("list")
@click.option("--state", type=click.Choice(STATES), help="Only those in this state.")
@click.option("--kind", type=click.Choice(KINDS), help="Only those of this kind.")
@click.option("--limit", type=click.IntRange(min=1), default=100, show_default=True, help="At most so many.")
@with_options
def list_jobs(options: Options, state: str | None, kind: str | None, limit: int) -> None:
    """List jobs, newest first."""
    with open_ledger(find_settings(options)) as ledger:
        from longshore.producers.cli.views.json_documents import JOB_HEADERS, job_document, job_row
        from longshore.shared.specs.jobs import State

        found = ledger.queries.jobs(state=None if state is None else State(state), kind=kind, limit=limit)
    if options.as_json:
        print_json([job_document(record) for record in found])
    else:
        print_table(JOB_HEADERS, [job_row(record) for record in found])


@jobs.command()
@click.argument("job")
@with_options
def show(options: Options, job: str) -> None:
    """Show a job: its state, what went wrong, and what its training measured."""
    with connected(options) as client:
        found = client.job(job)
        if options.as_json:
            from longshore.producers.cli.views.json_documents import job_document
            from longshore.shared.store.address import public

            details: dict[str, object] = {
                "chain": [
                    {"id": each.id, "state": each.state, "after": each.record().depends_on} for each in found.chain()
                ],
                **{"shards": found.shards(), "errors": found.errors(), "metrics": found.metrics()},
                "trials": found.trials(),
                "parts": [public(part) for part in found.parts()] if found.record().spec.get("output") else None,
            }
            print_json({**job_document(found.record()), **details})
        else:
            _print_details(options, found)


@jobs.command()
@click.argument("job")
@click.option("--timeout", type=click.FloatRange(min=0), metavar="SECONDS", help="Give up after so long.")
@with_options
def wait(options: Options, job: str, timeout: float | None) -> None:
    """Wait until a job has ended. Ends with 1 if it failed, was cancelled, or has not ended in time."""
    with connected(options) as client:
        from longshore.producers.cli.views.job_view import follow

        follow(options, client.job(job), timeout)


@jobs.command()
@click.argument("job")
@with_options
def cancel(options: Options, job: str) -> None:
    """End a job now; what was finished of it is kept."""
    with connected(options) as client:
        found = client.job(job)
        ended = found.cancel()
        state = found.state
    if options.as_json:
        print_json({"id": found.id, "cancelled": ended, "state": state})
    else:
        sys.stdout.write(f"{found.id} cancelled\n" if ended else f"{found.id} had ended before: {state}\n")


@jobs.command()
@click.argument("job")
@click.option(
    "--rows", type=click.Choice(("failed",)), help="Also the rows that failed, and no others of their shards."
)
@click.option("--wait/--no-wait", default=False, help="Wait until it has ended.")
@with_options
def retry(options: Options, job: str, rows: Literal["failed"] | None, wait: bool) -> None:
    """Run again what did not succeed of a failed or cancelled job; with --rows failed, of any that has ended."""
    with connected(options) as client:
        from longshore.producers.cli.views.job_view import print_submitted

        print_submitted(options, client.job(job).retry(rows), wait)


def _print_trials(job: Job) -> None:
    from longshore.producers.cli.views.json_documents import measured
    from longshore.shared.specs.search import shown

    trials = job.trials()
    if not trials:
        return
    rows = [
        (trial.number, trial.state, shown(trial.parameters), measured(trial.metrics), trial.worker, trial.error or "")
        for trial in trials
    ]
    sys.stdout.write("\n")
    print_table(("TRIAL", "STATE", "TRIED", "METRICS", "WORKER", "ERROR"), rows)


for command in (plot, report, tensorboard):
    jobs.add_command(command)


def _print_chain(job: Job) -> None:
    from longshore.producers.cli.views.json_documents import named

    chain = [each.record() for each in job.chain()]
    if len(chain) > 1:
        sys.stdout.write("\n")
        places = {each.id: place for place, each in enumerate(chain, 1)}
        rows = [
            (
                f"{places[each.id]}{' *' if each.id == job.id else ''}",
                *(each.id, each.kind, named(each.model, each.version), each.state),
                places.get(each.depends_on, "") if each.depends_on is not None else "",
            )
            for each in chain
        ]
        print_table(("LINK", "JOB", "KIND", "MODEL", "STATE", "AFTER"), rows)


@jobs.command()
@click.argument("job")
@click.option("--epochs", type=click.IntRange(min=1), required=True, help="How many more.")
@click.option("--wait/--no-wait", default=False, help="Wait until it has ended.")
@with_options
def extend(options: Options, job: str, epochs: int, wait: bool) -> None:
    """Train on from where a training job has ended; makes a new version."""
    with connected(options) as client:
        from longshore.producers.cli.views.job_view import print_submitted

        print_submitted(options, client.job(job).extend(epochs), wait)


def _print_details(options: Options, job: Job) -> None:
    from longshore.producers.cli.views.job_view import print_job
    from longshore.producers.cli.views.terminal_plots import print_curves

    record = job.record()
    print_job(options, record)
    _print_chain(job)
    if record.spec.get("output") is not None:
        from longshore.shared.store.address import public

        sys.stdout.write("\n")
        print_table(("PART",), [(public(part),) for part in job.parts()])
    if record.kind == "evaluate":
        if record.outcome is not None:
            from longshore.producers.cli.views.evaluation_tables import print_evaluation

            print_evaluation(job.evaluation())
    else:
        print_curves(job.metrics())
    if record.kind in ("tune", "cross_validate"):
        _print_trials(job)
    errors = job.errors(limit=ERRORS_SHOWN)[:ERRORS_SHOWN]
    if errors:
        sys.stdout.write("\n")
        rows = [(each.row, each.shard, each.attempt, each.worker, each.message) for each in errors]
        print_table(("ROW", "SHARD", "ATTEMPT", "WORKER", "ERROR"), rows)
