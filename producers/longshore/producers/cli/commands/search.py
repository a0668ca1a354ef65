"""``longshore tune`` and ``longshore cross-validate``."""

from __future__ import annotations

import click

from longshore.producers.cli.connect import connected
from longshore.producers.cli.job_options import parse_config
from longshore.producers.cli.options import Options, with_options
from longshore.producers.cli.training_options import training_options, training_request

SAMPLERS = ("tpe", "random", "grid")
PRUNERS = ("none", "median", "quarter")


@click.command()
@click.option(
    "--search",
    "space",
    multiple=True,
    required=True,
    metavar="KEY=VALUES",
    help="An option of training, or config.KEY of the family, and what to try of it, in JSON: "
    '--search optimizer=\'["adam","sgd"]\' or --search learning_rate=\'{"low":1e-4,"high":0.1,"log":true}\'',
)
@click.option("--trials", type=int, help="Default: 16; of a grid all.")
@click.option("--sampler", type=click.Choice(SAMPLERS), help="Default: tpe.")
@click.option("--metric", metavar="NAME", help="What is best; default: val_loss.")
@click.option("--pruner", type=click.Choice(PRUNERS), help="Ends trials early that do worse than these; default: none.")
@click.option("--pruner-warmup", type=int, metavar="EPOCHS", help="Default: 1.")
@training_options
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
    **given: object,
) -> None:
    """Search for the best training on DATA: many trials, on all devices at once. The best becomes a version.

    Prints the job's id; with --wait, the version it made.
    """
    asked = training_request(given)
    with connected(options) as client:
        from longshore.producers.cli.views.job_view import print_submitted

        found = parse_config(space, "--search")
        print_submitted(options, client.tune(model, family, data, target, found, **asked), wait)


@click.command("cross-validate")
@click.option("--folds", type=int, help="Default: 5.")
@training_options
@with_options
def cross_validate(
    options: Options, /, data: str, model: str, family: str, target: str, wait: bool, **given: object
) -> None:
    """Train on DATA once for each fold of its rows, and measure on that fold. No version is made.

    Prints the job's id; with --wait, the mean of each metric.
    """
    asked = training_request(given)
    with connected(options) as client:
        from longshore.producers.cli.views.job_view import print_submitted

        print_submitted(options, client.cross_validate(model, family, data, target, **asked), wait)
