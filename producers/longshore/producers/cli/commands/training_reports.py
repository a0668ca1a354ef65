"""``longshore jobs plot``, ``report`` and ``tensorboard``: what a training measured, to be looked at."""

from __future__ import annotations

import sys
from pathlib import Path

import click

from longshore.producers.cli.connect import connected
from longshore.producers.cli.options import Options, with_options
from longshore.producers.cli.output import print_json


@click.command()
@click.argument("job")
@click.option("-o", "--output", required=True, metavar="FILE", help="A .png, .svg or .pdf file.")
@with_options
def plot(options: Options, job: str, output: str) -> None:
    """Draw what a training job has measured, by epoch."""
    with connected(options) as client:
        written = client.job(job).plot(output)
    _tell(options, written)


@click.command()
@click.argument("job")
@click.option("-o", "--output", default="report.html", show_default=True, metavar="FILE", help="An .html file.")
@with_options
def report(options: Options, job: str, output: str) -> None:
    """Write a page on a training job: curves, confusion matrix, configuration, lineage."""
    with connected(options) as client:
        written = client.job(job).report(output)
    _tell(options, written)


@click.command()
@click.argument("job")
@click.option("-o", "--output", required=True, metavar="FOLDER", help="Made if need be.")
@with_options
def tensorboard(options: Options, job: str, output: str) -> None:
    """Write what a training job has measured as an event file for TensorBoard."""
    with connected(options) as client:
        written = client.job(job).tensorboard(output)
    _tell(options, written)


def _tell(options: Options, written: Path) -> None:
    if options.as_json:
        print_json({"output": written})
    else:
        sys.stdout.write(f"wrote {written}\n")
