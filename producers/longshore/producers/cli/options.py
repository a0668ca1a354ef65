"""The options of every command. They can stand before or after its name."""

from __future__ import annotations

import functools
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Concatenate, ParamSpec, TypeVar

import click

P = ParamSpec("P")
F = TypeVar("F", bound=Callable[..., object])

_HOME, _JSON = "longshore.home", "longshore.json"


@dataclass(frozen=True)
class Options:
    """The values of the options that every command has."""

    #: ``None`` uses the home or the addresses in the environment.
    home: Path | None = None
    as_json: bool = False


def shared_options(function: F) -> F:
    """Add the options to a command. Their values are stored in the click context."""
    for option in (
        click.option("--debug", is_flag=True, expose_value=False, help="Print the traceback of an unexpected error."),
        click.option(
            "--json", is_flag=True, expose_value=False, callback=_store_json, help="Print JSON instead of tables."
        ),
        click.option(
            "--home",
            metavar="FOLDER",
            expose_value=False,
            callback=_store_home,
            help="Home of the cluster. Overrides LONGSHORE_HOME and LONGSHORE_* addresses.",
        ),
    ):
        function = option(function)
    return function


def with_options(function: Callable[Concatenate[Options, P], None]) -> Callable[P, None]:
    """Add the options to a command and pass their values as its first argument."""

    @functools.wraps(function)
    def run(*args: P.args, **kwargs: P.kwargs) -> None:
        function(current(), *args, **kwargs)

    return shared_options(run)


def current() -> Options:
    """The options of the running command."""
    return options_of(click.get_current_context())


def options_of(context: click.Context) -> Options:
    """The options of a command that runs, or whose words are being completed."""
    return Options(home=context.meta.get(_HOME), as_json=context.meta.get(_JSON, False))


def _store_home(context: click.Context, _: click.Parameter, value: str | None) -> None:
    if value is not None:
        if not value:
            raise click.BadParameter("must not be empty; specify a folder", context)
        context.meta[_HOME] = Path(value).expanduser().absolute()


def _store_json(context: click.Context, _: click.Parameter, value: bool) -> None:
    if value:
        context.meta[_JSON] = True
