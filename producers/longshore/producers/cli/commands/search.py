"""``longshore tune`` and ``longshore cross-validate``."""

from __future__ import annotations

from typing import TYPE_CHECKING, cast

import click

from longshore.producers.cli.connect import connected
from longshore.producers.cli.job_options import job_options, parse_config, used_options
from longshore.producers.cli.option_types import SectionedCommand
from longshore.producers.cli.options import Options, with_options
from longshore.producers.cli.training_options import training_arguments

if TYPE_CHECKING:
    from longshore.producers.options.keywords import CrossValidateOptions, SearchSpace, TuneOptions


@click.command(cls=SectionedCommand)
@click.option(
    "--search",
    "space",
    multiple=True,
    required=True,
    metavar="KEY=VALUES",
    help="An option of training, or config.KEY of the family, and the values to try, in JSON: "
    '--search optimizer=\'["adam","sgd"]\' or --search learning_rate=\'{"low":1e-4,"high":0.1,"log":true}\'',
)
@training_arguments
@job_options("tune")
@with_options
def tune(
    options: Options,
    /,
    data: str,
    model: str,
    family: str,
    target: str,
    space: tuple[str, ...],
    wait: bool,
    **values: object,
) -> None:
    """Search for the best training on DATA: many trials, on all devices at once. The best becomes a version.

    Prints the job's id; with --wait, the version it made.
    """
    keywords = cast("TuneOptions", used_options("tune", values))
    with connected(options) as client:
        from longshore.producers.cli.views.job_view import print_submitted

        searched = cast("SearchSpace", parse_config(space, "--search"))
        print_submitted(options, client.tune(model, family, data, target, searched, **keywords), wait)


@click.command("cross-validate", cls=SectionedCommand)
@training_arguments
@job_options("cross_validate")
@with_options
def cross_validate(
    options: Options, /, data: str, model: str, family: str, target: str, wait: bool, **values: object
) -> None:
    """Train on DATA once for each fold of its rows, and measure on that fold. No version is made.

    Prints the job's id; with --wait, the mean of each metric.
    """
    keywords = cast("CrossValidateOptions", used_options("cross_validate", values))
    with connected(options) as client:
        from longshore.producers.cli.views.job_view import print_submitted

        print_submitted(options, client.cross_validate(model, family, data, target, **keywords), wait)
