"""Checks, before a job is queued, the columns of data that text is generated for."""

from __future__ import annotations

import difflib
from collections import Counter
from collections.abc import Collection, Mapping
from types import MappingProxyType
from typing import Final

import pyarrow as pa

from longshore.shared.datasets.columns.json_values import is_json
from longshore.shared.datasets.columns.types import is_list, is_number, is_text, stored, type_name
from longshore.shared.datasets.prompts import TEXT_OPTIONS, prompt_columns
from longshore.shared.datasets.schemas import list_columns, type_of_column
from longshore.shared.errors import InvalidInput
from longshore.shared.specs.generate import MESSAGES, PROMPT, ROW_OPTIONS

#: What other libraries call an option: a column with such a name would be meant for it, and have no effect.
OTHER_NAMES: Final[Mapping[str, str]] = MappingProxyType(
    {
        "max_new_tokens": "max_tokens",
        "max_completion_tokens": "max_tokens",
        "max_output_tokens": "max_tokens",
        "min_new_tokens": "min_tokens",
        "num_return_sequences": "n",
        "stop_sequences": "stop",
        "stop_strings": "stop",
        "system_prompt": "system",
        "top_logprobs": "logprobs",
    }
)
#: How alike a column and an option must be spelled, from 0 to 1, for the column to be a misspelling.
SIMILARITY: Final = 0.85


def check_prompt_columns(schema: pa.Schema, keep: Collection[str] = (), *, typed: bool = True) -> list[str]:
    """Which columns of the data are read.

    :param keep: columns that are stored with the results, so they have a use if their names are like those of options.
    :param typed: whether the columns have types of their own, which those of a CSV file do not. Default: true.
    :raises InvalidInput: there is neither a prompt nor a list of messages, or both; a column has another type than its
        option, or a name that is almost that of an option.
    """
    names = schema.names
    if PROMPT in names and MESSAGES in names:
        raise InvalidInput("data", f"it has both {PROMPT!r} and {MESSAGES!r}; remove or rename one of the columns")
    if PROMPT not in names and MESSAGES not in names:
        similar = difflib.get_close_matches(PROMPT, names, 1, 0.6) + difflib.get_close_matches(MESSAGES, names, 1, 0.6)
        hint = f"; rename {similar[0]!r} if it has them" if similar else ""
        raise InvalidInput(
            "data",
            f"no column {PROMPT!r} (texts) or {MESSAGES!r} (lists of role and content); {list_columns(names)}{hint}",
        )
    counts = Counter(names)
    for name in names:
        option = None if name in keep or name in ROW_OPTIONS else _meant(name)
        if option is not None and option not in names:
            raise InvalidInput("data", f"column {name!r} is not read; rename it to {option!r}, or to something else")
    columns = prompt_columns(names)
    for name in columns:
        kind = type_of_column(schema, counts, name, "data")
        if not (is_json(kind) or pa.types.is_null(kind) or (not typed and is_text(stored(kind)))):
            _check_type(name, kind)
    return columns


def _meant(name: str) -> str | None:
    """The option that a column was probably meant for."""
    if name in (PROMPT, MESSAGES):
        return None
    plain = name.lower().replace("-", "_").replace(" ", "_")
    if plain in OTHER_NAMES:
        return OTHER_NAMES[plain]
    return next(iter(difflib.get_close_matches(plain, ROW_OPTIONS, 1, SIMILARITY)), None)


def _check_type(name: str, kind: pa.DataType) -> None:
    """:raises InvalidInput: a column has another type than the option that it overrides."""
    text = is_text(stored(kind))
    if name == PROMPT or name in TEXT_OPTIONS:
        fits, expected = text, "text"
    elif name == MESSAGES:
        fits, expected = text or _has_objects(kind), "lists of objects with role and content"
    elif name == "stop":
        inner = stored(kind)
        fits = text or (is_list(inner) and (is_text(stored(inner.value_type)) or pa.types.is_null(inner.value_type)))
        expected = "text, or lists of texts"
    else:
        fits, expected = is_number(stored(kind)) and not pa.types.is_boolean(stored(kind)), "numbers"
    if not fits:
        raise InvalidInput("data", f"column {name!r} has {type_name(kind)}, not {expected}")


def _has_objects(kind: pa.DataType) -> bool:
    kind = stored(kind)
    if not is_list(kind):
        return False
    return bool(pa.types.is_null(kind.value_type) or pa.types.is_struct(stored(kind.value_type)))
