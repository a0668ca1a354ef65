"""``longshore train``."""

from __future__ import annotations

import click

from longshore.producers.cli.connect import connected
from longshore.producers.cli.options import Options, with_options
from longshore.producers.cli.submitting import given_options, job_options, parse_config

TASKS = ("auto", "classification", "regression")
OPTIMIZERS = ("adam", "adamw", "sgd", "rmsprop")


@click.command()
@click.argument("data")
@click.option("--model", required=True, metavar="NAME", help="The model that gets a new version.")
@click.option(
    "--family", default="mlp", show_default=True, metavar="NAME", help="linear, mlp, cnn, or one the workers bring."
)
@click.option("--target", required=True, metavar="COLUMN", help="The column to predict.")
@click.option("--features", metavar="COLUMN,...", help="The columns to predict from; default: all but the target.")
@click.option("--task", type=click.Choice(TASKS), help="Default: auto, by the target's type.")
@click.option("--alias", metavar="NAME", help="Points at the new version once it is there.")
@click.option("--epochs", type=int, help="Default: 10.")
@click.option("--batch-size", type=int, metavar="ROWS", help="Default: 128.")
@click.option("--learning-rate", type=float, help="Default: 0.001.")
@click.option("--weight-decay", type=float, help="Default: 0.")
@click.option("--optimizer", type=click.Choice(OPTIMIZERS), help="Default: adam.")
@click.option("--momentum", type=float, help="Of sgd and rmsprop; default: 0.")
@click.option("--validation", metavar="FRACTION|FILE", help="Rows to measure each epoch on; default: 0.1.")
@click.option("--test", metavar="FRACTION|FILE", help="Rows to measure the end on, once; default: 0.")
@click.option("--split", metavar="COLUMN", help="Says of each row: train, validation or test; in place of these two.")
@click.option("--stratify/--no-stratify", default=None, help="Draw from each class in proportion; default: yes.")
@click.option("--standardize/--no-standardize", default=None, help="Scale each feature; default: yes.")
@click.option("--seed", type=int, help="Default: 0.")
@click.option(
    "--set", "config", multiple=True, metavar="KEY=VALUE", help="Tell the family, in JSON: --set hidden=[128,64]"
)
@job_options
@with_options
def train(
    options: Options,
    /,
    data: str,
    model: str,
    family: str,
    target: str,
    features: str | None,
    config: tuple[str, ...],
    wait: bool,
    **given: object,
) -> None:
    """Train a model on DATA, a file, a folder or a URL that the workers can reach.

    Prints the job's id; with --wait, the version it made.
    """
    asked = given_options(given)
    for name in ("validation", "test"):
        if name in asked:
            asked[name] = _fraction_or_file(str(asked[name]))
    if config:
        asked["config"] = parse_config(config)
    if features is not None:
        asked["features"] = tuple(name.strip() for name in features.split(","))
    with connected(options) as client:
        from longshore.producers.cli.following import tell_submitted

        tell_submitted(options, client.train(model, family, data, target, **asked), wait)


def _fraction_or_file(text: str) -> float | str:
    try:
        return float(text)
    except ValueError:
        return text
