"""``longshore infer``."""

from __future__ import annotations

import click

from longshore.producers.cli.connect import connected
from longshore.producers.cli.job_options import explicit_options, job_options
from longshore.producers.cli.options import Options, with_options


def count_or_fraction(text: str) -> int | float:
    """``3`` rows, or ``0.01`` of the rows."""
    try:
        return int(text) if text.lstrip("+-").isdigit() else float(text)
    except ValueError:
        raise click.BadParameter(f"{text!r} is neither a count nor a fraction") from None


@click.command()
@click.argument("model")
@click.argument("data")
@click.option("--batch-size", type=int, metavar="ROWS", help="In one forward pass; the worker learns it if not given.")
@click.option("--precision", help="auto, fp32, bf16 or fp16.")
@click.option("--compile", is_flag=True, default=None, help="Compile the network before the first batch.")
@click.option("--top-k", type=int, metavar="K", help="Also the K most probable classes.")
@click.option("--threshold", type=float, help="Of several labels a row: the least probability; default: 0.5.")
@click.option("--logits", is_flag=True, default=None, help="Also what the network puts out.")
@click.option("--allow-nan", is_flag=True, default=None, help="Write outputs that are not finite as null.")
@click.option("--max-row-errors", type=count_or_fraction, metavar="N", help="Rows that may fail, or a fraction.")
@click.option("--output", metavar="PATTERN", help="Files to write: folder/*.parquet or folder/*.jsonl.")
@click.option(
    "--keep", multiple=True, default=None, metavar="COLUMN", help="Carry a column into the files; may be repeated."
)
@click.option(
    "--results/--no-results", default=None, help="Write into the table; if neither is said: without --output."
)
@click.option(
    "--max-wait-ms", type=int, metavar="MS", help="How long a small shard may wait for others to share its batch."
)
@click.option("--rows-per-shard", type=int, metavar="ROWS", help="Default: by the size of the input.")
@job_options
@with_options
def infer(options: Options, /, model: str, data: str, wait: bool, **given: object) -> None:
    """Run MODEL (digits, digits:3 or digits@production) on every row of DATA.

    DATA is a file, a folder or a URL that the workers can reach; docs/reference/data-formats.md lists the formats.
    Prints the job's id; `longshore results` and the table `results` have what it computed.
    """
    with connected(options) as client:
        from longshore.producers.cli.views.job_view import print_submitted

        print_submitted(options, client.infer(model, data, **explicit_options(given)), wait)
