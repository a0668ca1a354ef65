"""``longshore train``."""

from __future__ import annotations

import click

from longshore.producers.cli.connect import connected
from longshore.producers.cli.options import Options, with_options
from longshore.producers.cli.training_options import training_options, training_request


@click.command()
@training_options
@with_options
def train(options: Options, /, data: str, model: str, family: str, target: str, wait: bool, **given: object) -> None:
    """Train a model on DATA, a file, a folder or a URL that the workers can reach.

    Prints the job's id; with --wait, the version it made.
    """
    asked = training_request(given)
    with connected(options) as client:
        from longshore.producers.cli.views.job_view import print_submitted

        print_submitted(options, client.train(model, family, data, target, **asked), wait)
