"""From what a caller wrote to a checked value, or to an error that names the field."""

from __future__ import annotations

import difflib
from collections.abc import Mapping
from typing import TypeVar

from pydantic import BaseModel, ValidationError

from longshore.shared.errors import InvalidInput

M = TypeVar("M", bound=BaseModel)
#: How much of a wrong value an error repeats, in characters.
SHOWN = 80


def build(kind: type[M], values: Mapping[str, object], prefix: str = "") -> M:
    """Make a ``kind`` of ``values``.

    :param prefix: stands before the field's name in an error, for a model inside another (``config.``).
    :raises InvalidInput: names the first wrong field, its value and what is asked of it.
    """
    try:
        return kind.model_validate(dict(values))
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        path = [str(part) for part in first["loc"]]
        field = prefix + (path[0] if path else "")
        if first["type"] == "extra_forbidden" and len(path) > 1:
            raise InvalidInput(field, f"unknown key {'.'.join(path[1:])}") from None
        if first["type"] == "extra_forbidden":
            raise unknown_option(field, prefix, list(kind.model_fields)) from None
        inner = f" (at {'.'.join(path)})" if len(path) > 1 else ""
        if first["type"] == "missing":
            raise InvalidInput(field, f"required, and not given{inner}") from None
        raise InvalidInput(field, f"{shorten(first['input'])}{inner}: {first['msg']}") from None


def unknown_option(field: str, prefix: str, known: list[str]) -> InvalidInput:
    """The error for an option nobody knows, with the nearest one that exists."""
    near = difflib.get_close_matches(field.removeprefix(prefix), known, n=1)
    meant = f"did you mean {prefix}{near[0]}?" if near else f"the options are {', '.join(known)}"
    return InvalidInput(field, f"unknown option; {meant}")


def shorten(value: object) -> str:
    """``repr`` of a value, cut to what fits in one line."""
    text = repr(value)
    return text if len(text) <= SHOWN else text[: SHOWN - 1] + "…"
