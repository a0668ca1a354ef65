"""Reads the rows of a job that generates text: the prompt or the messages of each, and its own options."""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final, TypeAlias

import pyarrow as pa
from pydantic import JsonValue

from longshore.shared.datasets.columns.json_values import decode_json, is_json
from longshore.shared.datasets.columns.types import is_list, stored
from longshore.shared.specs.generate import MESSAGES, PROMPT, ROW_OPTIONS
from longshore.shared.specs.validation import shorten

#: A message of a conversation: ``role``, ``content`` and what else its template knows, such as ``tool_calls``.
Message: TypeAlias = dict[str, JsonValue]

#: Who can have written a message.
ROLES: Final = ("system", "developer", "user", "assistant", "tool")
#: A call of a function in a message.
_CALL: Final = '{"type": "function", "function": {"name": "...", "arguments": {...}}}'
#: Options whose values are texts, which stand in a column as they are.
TEXT_OPTIONS: Final = ("system", "prefix", "tool_choice")


@dataclass(frozen=True, kw_only=True)
class PromptRow:
    """What a row asks for. Exactly one of ``prompt`` and ``messages`` is set."""

    prompt: str | None = None
    messages: tuple[Message, ...] | None = None
    #: The options that the row has, by name, as they are written; see
    #: :meth:`~longshore.shared.specs.generate.RowOptions.override`.
    options: Mapping[str, object] = field(default_factory=dict)


def prompt_columns(names: Iterable[str]) -> list[str]:
    """Which columns of the data are read, in the order of the data."""
    return [name for name in names if name in (PROMPT, MESSAGES) or name in ROW_OPTIONS]


def read_prompts(rows: pa.RecordBatch | pa.Table) -> list[PromptRow | str]:
    """The rows of a batch; for one that cannot be run, why.

    Options are not checked. A column of text may have been read from a CSV file: messages and lists of ``stop`` are
    JSON texts there, and an empty text is no option.
    """
    columns = {name: _values(rows.column(name)) for name in prompt_columns(rows.schema.names)}
    options = {name: values for name, values in columns.items() if name not in (PROMPT, MESSAGES)}
    texts = {name for name in options if _is_text_column(rows.schema.field(name).type)}
    prompts: list[PromptRow | str] = []
    for row in range(rows.num_rows):
        own = {name: _option(name, values[row], name in texts) for name, values in options.items()}
        given = {name: value for name, value in own.items() if value is not None}
        try:
            if MESSAGES in columns:
                prompts.append(PromptRow(messages=read_messages(columns[MESSAGES][row]), options=given))
            else:
                prompts.append(PromptRow(prompt=_read_prompt(columns[PROMPT][row]), options=given))
        except ValueError as error:
            prompts.append(str(error))
    return prompts


def read_messages(value: object) -> tuple[Message, ...]:
    """The messages of a conversation, checked. The text parts of a message become one text, one line each.

    :param value: a list of objects, or its JSON text.
    :raises ValueError: it is none; names the message, what is wrong with it and what is expected.
    """
    if isinstance(value, str):
        value = _parse(value)
    if not isinstance(value, list | tuple) or not value:
        what = "an empty list" if isinstance(value, list | tuple) else shorten(value)
        raise ValueError(f'messages: {what}; give a list of {{"role": "user", "content": "..."}}')
    return tuple(_message(index, each) for index, each in enumerate(value))


def _read_prompt(value: object) -> str:
    if not isinstance(value, str):
        raise ValueError(f"prompt: {'missing' if value is None else shorten(value)}; give a text")
    if not value:
        raise ValueError("prompt: empty; give a text")
    return value


def _parse(text: str) -> object:
    try:
        return json.loads(text)
    except (ValueError, RecursionError) as error:
        raise ValueError(f"messages: {shorten(text)} is not a list in JSON: {error}") from None


def _message(index: int, value: object) -> Message:
    where = f"messages[{index}]"
    if not isinstance(value, Mapping):
        raise ValueError(f'{where}: {shorten(value)}; give {{"role": "user", "content": "..."}}')
    # Arrow has every key of any message of a column in all of them.
    message: Message = {str(key): item for key, item in value.items() if item is not None}
    role = message.get("role")
    if role not in ROLES:
        raise ValueError(f"{where}.role: {'missing' if role is None else shorten(role)}; give {_listed(ROLES)}")
    content = message.get("content")
    if isinstance(content, list | tuple):
        content = _joined(f"{where}.content", content)
    if content is None and not (role == "assistant" and message.get("tool_calls")):
        raise ValueError(f"{where}.content: missing; give a text")
    if not isinstance(content, str | None):
        raise ValueError(f"{where}.content: {shorten(content)}; give a text")
    _check_calls(f"{where}.tool_calls", message.get("tool_calls"))
    return {**message, "content": content}


def _check_calls(where: str, calls: object) -> None:
    """Templates read the items of a list of calls; most would write anything else as none, and lose it."""
    if not isinstance(calls, list | tuple | None):
        raise ValueError(f"{where}: {shorten(calls)}; give a list of {_CALL}")
    for index, call in enumerate(calls or ()):
        if not isinstance(call, Mapping):
            raise ValueError(f"{where}[{index}]: {shorten(call)}; give {_CALL}")


def _joined(where: str, parts: Sequence[object]) -> str:
    texts = []
    for part in parts:
        text = part.get("text") if isinstance(part, Mapping) and part.get("type", "text") == "text" else None
        if not isinstance(text, str):
            raise ValueError(f'{where}: {shorten(part)} is no text; give parts {{"type": "text", "text": "..."}} alone')
        texts.append(text)
    return "\n".join(texts)


def _values(column: pa.Array | pa.ChunkedArray) -> list[object]:
    array = column.combine_chunks() if isinstance(column, pa.ChunkedArray) else column
    return list(decode_json(array)) if is_json(array.type) else _without_nulls(array)


def _without_nulls(array: pa.Array) -> list[object]:
    """The values of a column, without the keys of its objects that are null: Arrow adds them to all objects."""
    values: list[object] = array.to_pylist()
    return [_pruned(value) for value in values] if is_list(stored(array.type)) else values


def _pruned(value: object) -> object:
    if isinstance(value, dict):
        return {key: _pruned(item) for key, item in value.items() if item is not None}
    return [_pruned(item) for item in value] if isinstance(value, list) else value


def _option(name: str, value: object, is_text: bool) -> object:
    """The value of an option, or ``None`` if the row has none."""
    if isinstance(value, float) and math.isnan(value):
        return None
    if is_text and value == "":
        return None
    if is_text and name == "stop" and isinstance(value, str) and value.lstrip().startswith("["):
        return _stops(value)
    if isinstance(value, bool):
        return f"{value}"  # true is no number, which pydantic would take it for
    return value


def _stops(text: str) -> object:
    """The texts of a list in JSON; another text stands for itself."""
    try:
        values = json.loads(text)
    except (ValueError, RecursionError):
        return text
    return values if isinstance(values, list) and all(isinstance(each, str) for each in values) else text


def _is_text_column(kind: pa.DataType) -> bool:
    kind = stored(kind)
    return bool(pa.types.is_string(kind) or pa.types.is_large_string(kind)) and not is_json(kind)


def _listed(names: Sequence[str]) -> str:
    return f"{', '.join(names[:-1])} or {names[-1]}"
