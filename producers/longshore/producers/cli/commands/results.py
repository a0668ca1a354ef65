"""``longshore results``: what a job computed, streamed."""

from __future__ import annotations

import itertools
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import click

from longshore.producers.cli.commands.pruning import prune
from longshore.producers.cli.connect import connected, find_settings, open_ledger
from longshore.producers.cli.options import Options, shared_options, with_options
from longshore.producers.cli.output import note
from longshore.shared.errors import InvalidInput

if TYPE_CHECKING:
    from longshore.shared.ledger.records import JobRecord

FORMATS = ("table", "jsonl", "csv", "parquet")
#: Rows a table shows when nothing else is said: people read no more.
TABLE_ROWS = 100
_SUFFIXES = {".jsonl": "jsonl", ".ndjson": "jsonl", ".csv": "csv", ".parquet": "parquet", ".pq": "parquet"}


class ResultsGroup(click.Group):
    """``longshore results JOB`` means ``longshore results show JOB``."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Put the command in that was left out."""
        asks_for_help = args[:1] and args[0] in ctx.help_option_names
        if not asks_for_help and not any(arg in self.commands for arg in args):
            args = ["show", *args]
        return super().parse_args(ctx, args)


@click.group(cls=ResultsGroup, subcommand_metavar="JOB | COMMAND")
@shared_options
def results() -> None:
    """Print or save the results of a job: `longshore results JOB`. Or prune those of old jobs."""


results.add_command(prune)


@results.command("show")
@click.argument("job")
@click.option(
    "--format",
    "form",
    type=click.Choice(FORMATS),
    help="Default: by FILE's suffix; jsonl with --json; else a table.",
)
@click.option("-o", "--output", metavar="FILE", help="Write a file, whole or not at all.")
@click.option("--limit", type=click.IntRange(min=1), metavar="ROWS", help=f"Default: all; {TABLE_ROWS} in a table.")
@with_options
def show_results(options: Options, job: str, form: str | None, output: str | None, limit: int | None) -> None:
    """Print or save the results of an inference job, by row. Of a job that runs, those that are there."""
    form = form or _default_format(options, output)
    if form == "parquet" and output is None:
        raise InvalidInput("output", "parquet is not written to a terminal or a pipe; name a file with -o")
    with connected(options) as client:
        record = client.job(job).record()
    if record.kind != "infer":
        raise InvalidInput("job", f"{record.id} is a {record.kind} job, which has no results; see longshore jobs show")
    if form == "table" and output is None and limit is None:
        limit = TABLE_ROWS
    from longshore.producers.cli.views.result_files import save, write
    from longshore.producers.results import check_in_table

    check_in_table(record)

    with open_ledger(find_settings(options)) as ledger:

        def rows() -> Iterator[tuple[int, str]]:
            return itertools.islice(ledger.queries.results(record.id), limit)

        if output is None:
            write(form, rows(), sys.stdout)
        else:
            save(form, rows, Path(output).expanduser())
    _note_missing(record, limit if output is None else None)


def _default_format(options: Options, output: str | None) -> str:
    if output is not None:
        suffix = Path(output).suffix.lower()
        if suffix not in _SUFFIXES:
            raise InvalidInput(
                "output", f"{output}: the suffix says no format; use .jsonl, .csv or .parquet, or --format"
            )
        return _SUFFIXES[suffix]
    return "jsonl" if options.as_json else "table"


def _note_missing(record: JobRecord, limit: int | None) -> None:
    """Say, aside, what the rows are not."""
    if limit is not None and record.rows_done > limit:
        note(f"these are {limit:,} of {record.rows_done:,} rows; all of them: --format jsonl, csv, or -o FILE")
    if record.rows_failed:
        note(f"{record.rows_failed:,} rows failed: longshore jobs show {record.id}")
    if not record.state.final:
        total = "?" if record.rows_total is None else f"{record.rows_total:,}"
        note(f"the job is {record.state}: {record.rows_done:,} of {total} rows so far")
