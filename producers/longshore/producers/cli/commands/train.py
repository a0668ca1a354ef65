"""``longshore train``."""

from __future__ import annotations

from typing import TYPE_CHECKING, cast

import click

from longshore.producers.cli.connect import connected
from longshore.producers.cli.job_options import job_options, used_options
from longshore.producers.cli.option_types import SectionedCommand
from longshore.producers.cli.options import Options, with_options
from longshore.producers.cli.training_options import train_arguments

if TYPE_CHECKING:
    from longshore.producers.options.keywords import TrainOptions


@click.command(cls=SectionedCommand)
@train_arguments
@job_options("train")
@with_options
def train(
    options: Options, /, data: str, model: str, family: str, target: str | None, wait: bool, **values: object
) -> None:
    """Train a model on DATA, a file, a folder or a URL that the workers can reach.

    Prints the job's id; with --wait, the version it made.
    """
    keywords = cast("TrainOptions", used_options("train", values))
    with connected(options) as client:
        from longshore.producers.cli.views.job_view import print_submitted

        print_submitted(options, client.train(model, family, data, target, **keywords), wait)
