"""The arguments of the commands that train, and what is said of them to the client."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

import click

from longshore.producers.cli.completion import complete_file, complete_model

F = TypeVar("F", bound=Callable[..., object])

_ARGUMENTS = (
    click.option(
        "--model",
        required=True,
        metavar="NAME",
        shell_complete=complete_model,
        help="The model that gets a new version.",
    ),
    click.option(
        "--family",
        default="mlp",
        show_default=True,
        metavar="NAME",
        help="linear, mlp, cnn, rnn, transformer, lightgbm, causal_lm, lora, or one that a package on the workers "
        "adds.",
    ),
)


def training_arguments(function: F) -> F:
    """The argument DATA, and which model is trained to predict what."""
    return _arguments(
        click.option("--target", required=True, metavar="COLUMN", help="The column to predict.")(function)
    )


def train_arguments(function: F) -> F:
    """As :func:`training_arguments`; the target of a language model has a default."""
    said = "The column to predict. Default: text for language models; other families need it."
    return _arguments(click.option("--target", metavar="COLUMN", help=said)(function))


def _arguments(function: F) -> F:
    for option in reversed(_ARGUMENTS):
        function = option(function)
    return click.argument("data", shell_complete=complete_file)(function)
