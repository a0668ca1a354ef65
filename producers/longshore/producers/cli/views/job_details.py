"""The output of ``longshore jobs show``: a job with its chain, files, metrics, trials and errors."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

from longshore.producers.cli.output import print_fields, print_table
from longshore.producers.cli.table_layout import TableColumn
from longshore.producers.cli.views.evaluation_tables import print_evaluation
from longshore.producers.cli.views.job_view import summary
from longshore.producers.cli.views.short_values import metrics_text, short_value, version_text
from longshore.producers.cli.views.terminal_plots import print_curves
from longshore.shared.specs.search import shown
from longshore.shared.store.address import public

if TYPE_CHECKING:
    from longshore.producers.job import Job
    from longshore.producers.job_errors import JobError

CHAIN_COLUMNS = (
    TableColumn("POSITION", rank=4),
    TableColumn("JOB"),
    TableColumn("KIND", rank=2),
    TableColumn("MODEL", rank=3, min_width=12),
    TableColumn("STATE", rank=1),
    TableColumn("AFTER", rank=5),
)
TRIAL_COLUMNS = (
    TableColumn("TRIAL"),
    TableColumn("STATE"),
    TableColumn("PARAMETERS", wrap=True),
    TableColumn("METRICS", rank=1, wrap=True),
    TableColumn("WORKER", rank=3, min_width=12),
    TableColumn("ERROR", rank=2, wrap=True),
)
ERROR_COLUMNS = (
    TableColumn("ROW", rank=1),
    TableColumn("KEY", rank=1, min_width=12),
    TableColumn("SHARD", rank=2),
    TableColumn("ATTEMPT", rank=3),
    TableColumn("WORKER", rank=4, min_width=12),
    TableColumn("ERROR", wrap=True),
)


def print_job_details(job: Job, *, max_errors: int) -> None:
    """Print a job for people.

    :param max_errors: the number of errors to print at most.
    """
    record = job.record()
    fields = summary(record, None if record.state.final else job.why().reason)
    if job.is_version_deleted():
        name = "model" if record.version is not None else "version"
        fields[name] = f"{fields[name]} (deleted; see longshore models history {record.model})"
    print_fields(fields)
    _print_chain(job)
    if record.spec.get("output") is not None:
        sys.stdout.write("\n")
        print_table(("OUTPUT FILE",), [(public(uri),) for uri in job.parts()])
    if record.kind != "evaluate":
        print_curves(job.metrics())
    elif record.outcome is not None:
        print_evaluation(job.evaluation())
    if record.kind in ("tune", "cross_validate"):
        _print_trials(job)
    _print_errors(job, max_errors)


def _print_chain(job: Job) -> None:
    records = [each.record() for each in job.chain()]
    if len(records) == 1:
        return
    positions = {record.id: position for position, record in enumerate(records, 1)}
    rows = [
        (
            f"{positions[record.id]}{' *' if record.id == job.id else ''}",
            *(record.id, record.kind, version_text(record.model, record.version), record.state),
            positions.get(record.depends_on, "") if record.depends_on is not None else "",
        )
        for record in records
    ]
    sys.stdout.write("\n")
    print_table(CHAIN_COLUMNS, rows)


def _print_trials(job: Job) -> None:
    trials = job.trials()
    if not trials:
        return
    rows = [
        (
            *(trial.number, trial.state, shown(trial.parameters), metrics_text(trial.metrics)),
            *(trial.worker, trial.error or ""),
        )
        for trial in trials
    ]
    sys.stdout.write("\n")
    print_table(TRIAL_COLUMNS, rows)


def _print_errors(job: Job, max_errors: int) -> None:
    errors = job.errors(limit=max_errors)[:max_errors]
    if errors:
        sys.stdout.write("\n")
        keyed = any(error.key is not None for error in errors)
        rows = [
            (
                *(error.row, *([_key_text(error)] if keyed else [])),
                *(error.shard, error.attempt, error.worker, error.message),
            )
            for error in errors
        ]
        print_table([column for column in ERROR_COLUMNS if keyed or column.header != "KEY"], rows)


def _key_text(error: JobError) -> str:
    """A key on one line, such as ``id=17``."""
    return " ".join(f"{name}={short_value(value)}" for name, value in (error.key or {}).items())
