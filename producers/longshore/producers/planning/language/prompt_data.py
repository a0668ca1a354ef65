"""What callers of ``generate`` pass as data, as a file or as rows with a prompt or messages."""

from __future__ import annotations

import json
import os
import re
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Final, TypeAlias, cast

import numpy as np

from longshore.producers.data import Data, GenerateData
from longshore.shared.datasets.detect import SUFFIXES
from longshore.shared.errors import InvalidInput
from longshore.shared.specs.generate import MESSAGES, PROMPT

#: Rows in memory, before they become a table. Messages in Python objects are JSON texts, so that every message keeps
#: its own keys.
Rows: TypeAlias = Data
#: Kinds of NumPy arrays whose items are texts or Python objects.
_OBJECTS: Final = "OUT"


def address_of(data: GenerateData, form: str | None = None) -> str | os.PathLike[str] | None:
    """The path or URI of a file; ``None`` if the data is rows, or the text of one prompt.

    A text is a path if it is one word, if it ends like a file of a known format, or if it is there. Any other text is a
    prompt.

    :param form: the format of a file. If it is set, a text is a path.
    """
    if not isinstance(data, str):
        return data if isinstance(data, os.PathLike) else None
    return data if form is not None or not is_prompt(data) or _exists(data) else None


def is_prompt(text: str) -> bool:
    """Whether a text is a prompt, unless there is a file with this name."""
    return bool(re.search(r"\s", text)) and not _has_suffix(text)


def is_conversation(items: Sequence[object]) -> bool:
    """Whether a list has the messages of one row, and no rows."""
    present = [item for item in items if item is not None]
    return bool(present) and all(_is_message(item) for item in present)


def rows_of(data: GenerateData) -> Rows:
    """Rows in memory with a column ``prompt`` or ``messages``.

    One text is one prompt, a list of texts one row each; a list of messages is one row, a list of such lists one row
    each. Anything else has named columns and stays as it is, with its messages as JSON texts.

    :raises InvalidInput: a message cannot be written as JSON; names the row.
    """
    if isinstance(data, str):
        return [{PROMPT: data}]
    if isinstance(data, Mapping):
        if MESSAGES not in data or not _is_python(data[MESSAGES]):
            return cast("Data", data)
        return {**data, MESSAGES: _json_texts(cast("Sequence[object]", data[MESSAGES]))}
    if isinstance(data, Sequence):
        return _rows_of_items(data)
    if isinstance(data, np.ndarray) and data.dtype.kind in _OBJECTS and data.ndim:
        return _rows_of_items(data.tolist())
    return _frame(data) if type(data).__module__.partition(".")[0] == "pandas" else cast("Data", data)


def _rows_of_items(items: Sequence[object]) -> Rows:
    present = [item for item in items if item is not None]
    if present and all(isinstance(item, str) for item in present):
        return [{PROMPT: item} for item in items]
    if is_conversation(items):
        return [{MESSAGES: _json_text(0, items)}]
    if present and all(isinstance(item, list | tuple) for item in present):
        return [{MESSAGES: text} for text in _json_texts(items)]
    if not any(isinstance(item, Mapping) and MESSAGES in item for item in present):
        return cast("Data", items)
    return [
        {**item, MESSAGES: _json_text(row, item[MESSAGES])}
        if isinstance(item, Mapping) and MESSAGES in item
        else cast("Mapping[str, object]", item)
        for row, item in enumerate(items)
    ]


def _is_message(item: object) -> bool:
    """Whether it is one message, and no row."""
    return isinstance(item, Mapping) and "role" in item and PROMPT not in item and MESSAGES not in item


def _frame(frame: object) -> Rows:
    """A pandas frame whose messages are JSON texts."""
    pandas = sys.modules["pandas"]
    if not isinstance(frame, pandas.DataFrame) or MESSAGES not in frame.columns:
        return cast("Data", frame)
    # Texts stay texts, and columns of Arrow's types become lists of objects.
    return frame.assign(**{MESSAGES: _json_texts(frame[MESSAGES].tolist())})


def _is_python(column: object) -> bool:
    """Whether a column is a list of Python objects."""
    return isinstance(column, Sequence) and not isinstance(column, str | bytes)


def _json_texts(values: Sequence[object]) -> list[str | None]:
    return [_json_text(row, value) for row, value in enumerate(values)]


def _json_text(row: int, value: object) -> str | None:
    """The JSON text of the messages of a row; a text is one already, and a missing value is an error of its row."""
    if value is None or isinstance(value, str):
        return value
    if isinstance(value, float) and value != value:  # a missing value in a pandas frame
        return None
    try:
        return json.dumps(value, ensure_ascii=False, allow_nan=False, default=_plain)
    except (TypeError, ValueError, RecursionError) as error:
        raise InvalidInput("data", f"row {row}: its messages cannot be written as JSON: {error}") from None


def _plain(value: object) -> object:
    """What JSON knows, for an array of a pandas frame, which was read from Parquet."""
    to_list = getattr(value, "tolist", None)
    if to_list is None:
        raise TypeError(f"{type(value).__name__} is not a list, an object, a text or a number")
    return to_list()


def _has_suffix(text: str) -> bool:
    name = text.rstrip("/").lower()
    # A text file has no prompts, so that a text that ends with its name is one: "Explain robots.txt".
    suffixes = [suffix for suffix, form in SUFFIXES.items() if form != "txt"]
    return any(name.endswith(suffix) and len(name) > len(suffix) for suffix in suffixes)


def _exists(text: str) -> bool:
    try:
        return Path(text).exists()
    except (OSError, ValueError):
        return False
