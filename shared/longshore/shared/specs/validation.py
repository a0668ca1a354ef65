"""Validates the values of a caller, with errors that name the field."""

from __future__ import annotations

import difflib
import re
from collections.abc import Mapping
from typing import TypeVar

from pydantic import BaseModel, ValidationError

from longshore.shared.errors import InvalidInput

M = TypeVar("M", bound=BaseModel)
#: Characters that no text in Postgres, and no text in UTF-8, can have.
_NOT_STORED = re.compile(r"[\0\ud800-\udfff]")
#: How much of a wrong value an error shows, in characters.
MAX_SHOWN_LENGTH = 80


def build(kind: type[M], values: Mapping[str, object], prefix: str = "", *, any_text: bool = False) -> M:
    """Create a model of type ``kind`` from ``values``.

    :param prefix: the prefix of the field name in an error, for a nested model (``config.``).
    :param any_text: also take texts that Postgres cannot store, such as those with a NUL character. Default: false.
    :raises InvalidInput: a value is wrong; names the first wrong field, its value and what is expected.
    """
    for name, value in () if any_text else values.items():
        _check_texts(name, f"{prefix}{shorten(name)}")
        _check_texts(value, f"{prefix}{name}")
    try:
        return kind.model_validate(dict(values))
    except ValidationError as error:
        errors = error.errors(include_url=False)
        first = errors[0]
        path = [str(step) for step in first["loc"]]
        field = prefix + (path[0] if path else "")
        if any(each["msg"].startswith("Recursion error") for each in errors):
            raise InvalidInput(field, "it is nested too deeply") from None
        if first["type"] == "extra_forbidden" and len(path) > 1:
            raise InvalidInput(field, f"unknown key {'.'.join(path[1:])}") from None
        if first["type"] == "extra_forbidden":
            raise unknown_option(field, prefix, list(kind.model_fields)) from None
        inner = f" (at {'.'.join(path)})" if len(path) > 1 else ""
        if first["type"] == "missing":
            raise InvalidInput(field, f"required, but missing{inner}") from None
        raise InvalidInput(
            field, f"{shorten(first['input'])}{inner}: {first['msg'].removeprefix('Value error, ')}"
        ) from None


def _check_texts(value: object, field: str) -> None:
    """:raises InvalidInput: a text anywhere in a value has a character that Postgres and UTF-8 cannot have."""
    waiting = [value]
    while waiting:
        current = waiting.pop()
        if isinstance(current, str) and _NOT_STORED.search(current):
            raise InvalidInput(field, f"{shorten(current)} has a NUL character or half of a surrogate pair; remove it")
        if isinstance(current, Mapping):
            waiting += (*current.keys(), *current.values())
        elif isinstance(current, list | tuple):
            waiting += current
        elif isinstance(current, BaseModel):
            waiting += current.__dict__.values()


def unknown_option(field: str, prefix: str, known: list[str]) -> InvalidInput:
    """The error for an unknown option, which suggests the most similar known one."""
    similar = difflib.get_close_matches(field.removeprefix(prefix), known, n=1)
    hint = f"did you mean {prefix}{similar[0]}?" if similar else f"the options are {', '.join(known)}"
    return InvalidInput(field, f"unknown option; {hint}")


def shorten(value: object) -> str:
    """``repr`` of a value, cut to :data:`MAX_SHOWN_LENGTH` characters."""
    text = repr(value)
    return text if len(text) <= MAX_SHOWN_LENGTH else text[: MAX_SHOWN_LENGTH - 1] + "…"
