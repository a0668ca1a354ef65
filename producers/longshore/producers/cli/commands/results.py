"""``longshore results``: the results of a job, streamed."""

from __future__ import annotations

import itertools
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import click

from longshore.producers.cli.commands.space import prune
from longshore.producers.cli.completion import complete_job
from longshore.producers.cli.connect import connected, find_settings, open_ledger
from longshore.producers.cli.options import Options, shared_options, with_options
from longshore.producers.cli.output import note
from longshore.shared.errors import InvalidInput

if TYPE_CHECKING:
    from longshore.shared.ledger.queries import ResultRecord
    from longshore.shared.ledger.records import JobRecord

FORMATS = ("table", "jsonl", "csv", "parquet")
#: The default number of rows in a table; people do not read more.
DEFAULT_TABLE_ROWS = 100
_FORMAT_BY_SUFFIX = {".jsonl": "jsonl", ".ndjson": "jsonl", ".csv": "csv", ".parquet": "parquet", ".pq": "parquet"}


class ResultsGroup(click.Group):
    """``longshore results JOB`` means ``longshore results show JOB``."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Insert the command ``show`` if no command is given."""
        is_help = args[:1] and args[0] in ctx.help_option_names
        if not is_help and not any(arg in self.commands for arg in args):
            args = ["show", *args]
        return super().parse_args(ctx, args)


@click.group(cls=ResultsGroup, subcommand_metavar="JOB | COMMAND")
@shared_options
def results() -> None:
    """Print or save the results of a job, or prune the results of old jobs.

    `longshore results JOB` is short for `longshore results show JOB`.
    """


results.add_command(prune)


@results.command("show")
@click.argument("job", shell_complete=complete_job)
@click.option(
    "--format",
    "output_format",
    type=click.Choice(FORMATS),
    help="Default: by the suffix of FILE, or jsonl with --json, or table.",
)
@click.option("-o", "--output", metavar="FILE", help="File to write instead of printing.")
@click.option(
    "--limit",
    type=click.IntRange(min=1),
    metavar="ROWS",
    help=f"Maximum number of rows. Default: {DEFAULT_TABLE_ROWS} for a table, otherwise all.",
)
@with_options
def show_results(options: Options, job: str, output_format: str | None, output: str | None, limit: int | None) -> None:
    """Print or save the results of a job that infers or generates, ordered by row.

    For a running job these are the rows so far.
    """
    output_format = output_format or _default_format(options, output)
    if output_format == "parquet" and output is None:
        raise InvalidInput("output", "parquet cannot be written to standard output; specify a file with -o")
    with connected(options) as client:
        record = client.job(job).record()
    if record.kind not in ("infer", "generate"):
        raise InvalidInput("job", f"{record.id} is a {record.kind} job, which has no results; see longshore jobs show")
    if output_format == "table" and output is None and limit is None:
        limit = DEFAULT_TABLE_ROWS
    from longshore.producers.cli.views.result_files import save, write
    from longshore.producers.results import check_in_table, key_columns_of

    check_in_table(record)
    names = key_columns_of(record)

    with open_ledger(find_settings(options)) as ledger:

        def rows() -> Iterator[ResultRecord]:
            return itertools.islice(ledger.queries.results(record.id), limit)

        if output is None:
            write(output_format, rows(), sys.stdout, names)
        else:
            save(output_format, rows, Path(output).expanduser(), names, generated=record.kind == "generate")
    _note_missing(record, limit if output is None else None)


def _default_format(options: Options, output: str | None) -> str:
    if output is not None:
        suffix = Path(output).suffix.lower()
        if suffix not in _FORMAT_BY_SUFFIX:
            raise InvalidInput("output", f"{output}: unknown suffix; use .jsonl, .csv or .parquet, or specify --format")
        return _FORMAT_BY_SUFFIX[suffix]
    return "jsonl" if options.as_json else "table"


def _note_missing(record: JobRecord, limit: int | None) -> None:
    """Print a note on the rows that are missing from the output."""
    if limit is not None and record.rows_done > limit:
        note(
            f"showing {limit:,} of {record.rows_done:,} rows; for all rows use --format jsonl, --format csv or -o FILE"
        )
    if record.rows_failed:
        note(f"{record.rows_failed:,} rows failed: longshore jobs show {record.id}")
    if not record.state.final:
        total = "?" if record.rows_total is None else f"{record.rows_total:,}"
        note(f"the job is {record.state}: {record.rows_done:,} of {total} rows so far")
