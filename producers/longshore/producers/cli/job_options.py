"""The options of the commands that submit jobs: how click reads them, and how the client takes them."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping
from typing import TypeVar

import click

from longshore.producers.cli.option_table import OPTIONS
from longshore.producers.cli.option_types import add_option

F = TypeVar("F", bound=Callable[..., object])


def job_options(command: str, *, wait: bool = False) -> Callable[[F], F]:
    """Add the options of a kind of job, and ``--wait``. An option that is not used is left to the default of its spec.

    :param command: a key of :data:`~longshore.producers.cli.option_table.OPTIONS`.
    :param wait: whether the command waits if neither ``--wait`` nor ``--no-wait`` is used. Default: false.
    """

    def add(function: F) -> F:
        text = "Wait until the job has ended." + (" Default: wait." if wait else "")
        function = click.option("--wait/--no-wait", default=wait, help=text)(function)
        for row in reversed(OPTIONS[command]):
            function = add_option(row, function)
        return function

    return add


def used_options(command: str, values: Mapping[str, object]) -> dict[str, object]:
    """The options that are used, as the client takes them.

    :param values: what click read, by the name of the option.
    :raises UsageError: a setting is not written as KEY=VALUE.
    """
    options: dict[str, object] = {}
    for row in OPTIONS[command]:
        value = values[row.name]
        if value is None or value == ():
            continue
        if row.reader == "class_weights" and value == ("balanced",):
            value = "balanced"
        elif row.reader in ("settings", "class_weights") and isinstance(value, tuple):
            value = parse_config(value, row.flag)
        options[row.name] = value
    return options


def parse_config(settings: Iterable[str], option: str = "--set") -> dict[str, object]:
    """``hidden=[128,64]`` as JSON. A value that is not JSON is a string, so that ``activation=gelu`` needs no quotes.

    :param option: the option that has the settings.
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
        except (ValueError, RecursionError):
            config[key] = text
    return config
