"""The base class of specs, and what a field says about the option that it is.

An option is written once, as a field of a spec. The annotation is its type and its constraints, the docstring below the
field is its meaning, and :class:`Option` has what only the command line needs. From these fields ``python -m
longshore.producers.options.generate`` writes the keywords of the client, the options of the command line and
``docs/reference/options.md``.
"""

from __future__ import annotations

from dataclasses import dataclass

from pydantic import BaseModel, ConfigDict
from pydantic.fields import FieldInfo


class Spec(BaseModel):
    """The base of what a caller can ask for: frozen, and unknown fields are refused."""

    model_config = ConfigDict(frozen=True, extra="forbid")


@dataclass(frozen=True)
class Option:
    """What an option has beside the type, the default and the docstring of its field."""

    #: The type of the keyword in Python, if callers may give more than the field stores.
    keyword: str | None = None
    #: The option of the command line, if it is not named as the field.
    flag: str | None = None
    #: What stands for the value in the help text of the command line.
    metavar: str | None = None
    #: How the command line reads the value, if the type does not determine it; a key of ``cli/option_types.py``.
    reader: str | None = None


#: Marks a field that is a positional argument, or that only Longshore sets: no option.
NOT_AN_OPTION = "not an option"


def is_option(field: FieldInfo) -> bool:
    """Whether callers set the field by a keyword."""
    return NOT_AN_OPTION not in field.metadata


def keyword_of(name: str, field: FieldInfo) -> str:
    """The keyword of an option: the name of its field, or the alias of a field whose name pydantic reserves."""
    return field.alias or name
