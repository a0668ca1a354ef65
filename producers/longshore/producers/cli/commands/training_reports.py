"""``longshore jobs plot``, ``report`` and ``tensorboard``: the metrics of a training job as files."""

from __future__ import annotations

import sys
from pathlib import Path

import click

from longshore.producers.cli.completion import complete_job
from longshore.producers.cli.connect import connected
from longshore.producers.cli.options import Options, with_options
from longshore.producers.cli.output import print_json


@click.command()
@click.argument("job", shell_complete=complete_job)
@click.option("-o", "--output", required=True, metavar="FILE", help="File to write: .png, .svg or .pdf.")
@with_options
def plot(options: Options, job: str, output: str) -> None:
    """Plot the metrics of a training job."""
    with connected(options) as client:
        path = client.job(job).plot(output)
    _print_written(options, path)


@click.command()
@click.argument("job", shell_complete=complete_job)
@click.option("-o", "--output", default="report.html", show_default=True, metavar="FILE", help="HTML file to write.")
@with_options
def report(options: Options, job: str, output: str) -> None:
    """Write an HTML report on a training job.

    It contains curves, metrics, the confusion matrix, the configuration and the lineage.
    """
    with connected(options) as client:
        path = client.job(job).report(output)
    _print_written(options, path)


@click.command()
@click.argument("job", shell_complete=complete_job)
@click.option("-o", "--output", required=True, metavar="FOLDER", help="Folder for the file; created if needed.")
@with_options
def tensorboard(options: Options, job: str, output: str) -> None:
    """Write metrics as an event file for TensorBoard."""
    with connected(options) as client:
        path = client.job(job).tensorboard(output)
    _print_written(options, path)


def _print_written(options: Options, path: Path) -> None:
    if options.as_json:
        print_json({"output": path})
    else:
        sys.stdout.write(f"wrote {path}\n")
