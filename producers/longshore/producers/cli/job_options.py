"""What ``longshore train`` and ``longshore infer`` share."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping
from typing import TypeVar

import click

F = TypeVar("F", bound=Callable[..., object])

DEVICES = ("auto", "cpu", "gpu")
FORMATS = ("parquet", "csv", "jsonl", "arrow", "npy", "npz", "hdf5", "images")


def job_options(function: F) -> F:
    """The options of every kind of job. What is not given is left to the defaults of the job itself."""
    for option in (
        click.option("--wait/--no-wait", default=False, help="Wait until the job has ended."),
        click.option("--idempotency-key", metavar="KEY", help="A second submission with the same key is the first."),
        click.option("--max-attempts", type=int, help="Tries of a shard before it is given up; default: 3."),
        click.option("--timeout", type=float, metavar="SECONDS", help="End the job after so long; default: never."),
        click.option("--device", type=click.Choice(DEVICES), help="Which workers run it; default: auto."),
        click.option("--priority", type=int, help="0 to 9; 9 is the most urgent; default: 4."),
        click.option("--format", type=click.Choice(FORMATS), help="Of DATA; default: by its suffix."),
    ):
        function = option(function)
    return function


def explicit_options(options: Mapping[str, object]) -> dict[str, object]:
    """Those that were given."""
    return {name: value for name, value in options.items() if value is not None and value != ()}


def parse_config(settings: Iterable[str], option: str = "--set") -> dict[str, object]:
    """``hidden=[128,64]`` as JSON; what is not JSON is a string, so that ``activation=gelu`` needs no quotes.

    :param option: where it was given.
    :raises UsageError: there is no ``=``, or a key is given twice.
    """
    config: dict[str, object] = {}
    for setting in settings:
        key, equals, text = setting.partition("=")
        if not (key and equals):
            raise click.BadParameter(f"{setting!r}: write KEY=VALUE, as in hidden=[128,64]", param_hint=option)
        if key in config:
            raise click.BadParameter(f"{key} is given twice", param_hint=option)
        try:
            config[key] = json.loads(text)
        except ValueError:
            config[key] = text
    return config
