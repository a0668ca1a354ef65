"""``longshore infer``."""

from __future__ import annotations

import click

from longshore.producers.cli.connect import connected
from longshore.producers.cli.options import Options, with_options
from longshore.producers.cli.submitting import given_options, job_options


@click.command()
@click.argument("model")
@click.argument("data")
@click.option("--batch-size", type=int, metavar="ROWS", help="In one forward pass; default: the worker chooses.")
@click.option("--rows-per-shard", type=int, metavar="ROWS", help="Default: by the size of the input.")
@job_options
@with_options
def infer(options: Options, /, model: str, data: str, wait: bool, **given: object) -> None:
    """Run MODEL (digits, digits:3 or digits@production) on every row of DATA.

    DATA is a Parquet, CSV or JSON Lines file that the workers can reach. Prints the job's id; `longshore results` and
    the table `results` have what it computed.
    """
    with connected(options) as client:
        from longshore.producers.cli.following import tell_submitted

        tell_submitted(options, client.infer(model, data, **given_options(given)), wait)
