"""The options of every command that submits a job."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping
from typing import TypeVar

import click

F = TypeVar("F", bound=Callable[..., object])

DEVICES = ("auto", "cpu", "gpu")
FORMATS = ("parquet", "csv", "jsonl", "arrow", "npy", "npz", "hdf5", "images")


def job_options(function: F) -> F:
    """Add the options that every kind of job has. Omitted options have the defaults of the job's spec."""
    for option in (
        click.option("--wait/--no-wait", default=False, help="Wait until the job has ended."),
        click.option("--idempotency-key", metavar="KEY", help="Submitting again with this key returns the first job."),
        click.option("--max-attempts", type=int, help="Maximum attempts per shard. Default: 3."),
        click.option("--timeout", type=float, metavar="SECONDS", help="Fail the job after this time. Default: never."),
        click.option("--device", type=click.Choice(DEVICES), help="Device to run on. Default: auto."),
        click.option("--priority", type=int, help="Priority from 0 to 9 (most urgent). Default: 4."),
        click.option("--format", type=click.Choice(FORMATS), help="Format of DATA. Default: by its suffix."),
    ):
        function = option(function)
    return function


def explicit_options(options: Mapping[str, object]) -> dict[str, object]:
    """The options that are on the command line; the others have the value ``None`` or ``()``."""
    return {name: value for name, value in options.items() if value is not None and value != ()}


def parse_config(settings: Iterable[str], option: str = "--set") -> dict[str, object]:
    """Parse settings such as ``hidden=[128,64]``. Values are JSON; anything else is a string, so ``activation=gelu``
    needs no quotes.

    :param option: the name of the option, for error messages.
    :raises UsageError: a setting has no ``=``, or a key occurs twice.
    """
    config: dict[str, object] = {}
    for setting in settings:
        key, equals, text = setting.partition("=")
        if not (key and equals):
            raise click.BadParameter(f"{setting!r}: must be KEY=VALUE, as in hidden=[128,64]", param_hint=option)
        if key in config:
            raise click.BadParameter(f"{key} occurs twice", param_hint=option)
        try:
            config[key] = json.loads(text)
        except ValueError:
            config[key] = text
    return config
