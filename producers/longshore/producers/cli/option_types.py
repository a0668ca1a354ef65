"""How the command line reads the options of :mod:`longshore.producers.cli.option_table`."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

import click

F = TypeVar("F", bound=Callable[..., object])

#: The options that every command has.
SHARED_OPTIONS = frozenset({"--home", "--json", "--debug", "--help"})
#: Characters that options may take on the left of their texts in a help text, from this width on and below it.
WIDE_TEXT, WIDE_FLAGS, NARROW_FLAGS = 76, 30, 20


@dataclass(frozen=True)
class FlagRow:
    """One option of a command."""

    name: str
    flag: str
    #: How the value is read: a key of :data:`READERS`, ``choice`` or ``flag``.
    reader: str
    #: The heading under which the help text lists it.
    section: str
    help: str
    choices: tuple[str, ...] = ()
    metavar: str | None = None


class SectionedOption(click.Option):
    """An option with the section of the help text that it belongs to."""

    section: str = ""


class SectionedCommand(click.Command):
    """A command whose help text lists its options by section."""

    def format_options(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write one list for each section; options without one come first, those of every command last."""
        sections: dict[str, list[tuple[str, str]]] = {}
        shared: list[tuple[str, str]] = []
        for parameter in self.get_params(ctx):
            record = parameter.get_help_record(ctx) if isinstance(parameter, click.Option) else None
            if record is not None and SHARED_OPTIONS.intersection(parameter.opts):
                shared.append(record)
            elif record is not None:
                section = parameter.section if isinstance(parameter, SectionedOption) else "Options"
                sections.setdefault(section, []).append(record)
        for section, records in [*sections.items(), ("Every command", shared)]:
            with formatter.section(section):
                records = [_shortened(flag, text, formatter.width) for flag, text in records]
                formatter.write_dl(records, col_max=WIDE_FLAGS if formatter.width >= WIDE_TEXT else NARROW_FLAGS)


def _shortened(flag: str, text: str, width: int) -> tuple[str, str]:
    """An option and its text; choices that are too long for a line are moved to the text."""
    if len(flag) + 2 <= width:
        return flag, text
    name, _, choices = flag.partition(" [")
    return f"{name} NAME", f"{text} NAME is one of {choices.removesuffix(']').replace('|', ', ')}."


def count_or_fraction(text: str) -> int | float:
    """``3`` rows, or ``0.01`` of the rows."""
    try:
        return int(text) if text.lstrip("+-").isdigit() else float(text)
    except ValueError:
        raise click.BadParameter(f"{text!r} is neither a count nor a fraction") from None


def int_or_auto(text: str) -> int | str:
    """A whole number, or ``auto``."""
    try:
        return text if text == "auto" else int(text)
    except ValueError:
        raise click.BadParameter(f"{text!r} is neither a whole number nor auto") from None


def fraction_or_file(text: str) -> float | str:
    """``0.1`` of the rows, or the path of a file."""
    try:
        return float(text)
    except ValueError:
        return text


def comma_separated(text: str) -> tuple[str, ...]:
    """The names between the commas."""
    return tuple(name.strip() for name in text.split(","))


def json_or_file(text: str) -> object:
    """A value as JSON, or the path of a file that has it."""
    source = text
    if not text.lstrip().startswith(("{", "[", '"')):
        try:
            source = Path(text).expanduser().read_text(encoding="utf-8")
        except (OSError, ValueError) as error:
            reason = error.strerror if isinstance(error, OSError) else error
            raise click.BadParameter(f"{text!r} is neither JSON nor a file that can be read: {reason}") from None
    try:
        return json.loads(source)
    except (ValueError, RecursionError) as error:
        raise click.BadParameter(f"{text!r} is not JSON: {error}") from None


#: The type that click gives a value, by reader.
READERS: dict[str, type | Callable[[str], object]] = {
    "int": int,
    "float": float,
    "two_floats": float,
    "text": str,
    "repeated": str,
    "settings": str,
    "class_weights": str,
    "comma_separated": comma_separated,
    "count_or_fraction": count_or_fraction,
    "fraction_or_file": fraction_or_file,
    "int_or_auto": int_or_auto,
    "json": json_or_file,
}
#: The readers of options that can be repeated.
REPEATED = frozenset({"repeated", "settings", "class_weights"})


def add_option(row: FlagRow, function: F) -> F:
    """Add one option to a command. An option that is not used is ``None``, or an empty tuple if it can be repeated."""
    if row.reader == "flag":
        no_flag = row.flag.replace("--", "--no-", 1)
        decorator = click.option(f"{row.flag}/{no_flag}", row.name, cls=SectionedOption, default=None, help=row.help)
    else:
        kind = click.Choice(row.choices, case_sensitive=False) if row.reader == "choice" else READERS[row.reader]
        decorator = click.option(
            row.flag,
            row.name,
            cls=SectionedOption,
            type=kind,
            multiple=row.reader in REPEATED,
            nargs=2 if row.reader == "two_floats" else 1,
            metavar=row.metavar,
            help=row.help,
        )
    decorated = decorator(function)
    decorated.__click_params__[-1].section = row.section  # type: ignore[attr-defined]
    return decorated
