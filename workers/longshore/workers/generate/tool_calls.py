"""Reads the calls of functions back from the text of a model. Each format of models in use is one reader."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from typing import Final, TypeAlias

from pydantic import JsonValue


@dataclass(frozen=True)
class ToolCall:
    """A call of a function."""

    name: str
    #: A JSON object, as text.
    arguments: str


@dataclass(frozen=True)
class CallingText:
    """A text that calls functions."""

    calls: tuple[ToolCall, ...]
    #: What the model has written before and between the calls; empty if it is nothing.
    content: str


#: Reads a text with its special tokens; ``None`` if it calls no function, or not in this format. The second argument
#: has the names of the functions that there are.
ToolReader: TypeAlias = Callable[[str, Collection[str]], CallingText | None]

_HERMES: Final = re.compile(r"<tool_call>(.*?)(?:</tool_call>|\Z)", re.DOTALL)
_MISTRAL: Final = "[TOOL_CALLS]"
#: Marks between a name and its arguments, in the newer form of Mistral.
_ARGUMENTS: Final = "[ARGS]"
_CALL_ID: Final = "[CALL_ID]"
_LLAMA: Final = "<|python_tag|>"
#: Characters that Postgres stores in no JSON document, and what stands in their place.
_NOT_STORED: Final = re.compile(r"[\0\ud800-\udfff]")
_REPLACEMENT: Final = "\N{REPLACEMENT CHARACTER}"
#: Tokens that end an answer or a turn.
_ENDS: Final = re.compile(r"(?:\s*(?:<\|[a-z_]+\|>|</s>|<end_of_turn>))+\Z")


def choose_reader(template: str, special_tokens: Collection[str]) -> ToolReader:
    """The reader of the format that a version writes, by what its chat template and its special tokens have."""
    if "<tool_call>" in template:
        return read_hermes
    if _MISTRAL in template or _MISTRAL in special_tokens:
        return read_mistral
    return read_json


def read_hermes(text: str, names: Collection[str]) -> CallingText | None:
    """``<tool_call>{"name": ..., "arguments": {...}}</tool_call>``, as Hermes and Qwen write it."""
    calls = [read_call(_parsed(match[1])) for match in _HERMES.finditer(text)]
    return _calling(calls, _HERMES.sub("", text))


def read_mistral(text: str, names: Collection[str]) -> CallingText | None:
    """``[TOOL_CALLS]`` and a list of calls; or, since its version 11, ``[TOOL_CALLS]name[ARGS]{...}`` for each."""
    content, *parts = text.split(_MISTRAL)
    calls: list[ToolCall | None] = []
    for part in parts:
        values = _parsed(_ENDS.sub("", part))
        if isinstance(values, list):
            calls += map(read_call, values)
        elif isinstance(values, dict):
            calls.append(read_call(values))
        else:
            name, brace, arguments = part.partition("{")
            name = name.partition(_ARGUMENTS)[0].partition(_CALL_ID)[0].strip()
            calls.append(read_call({"name": name, "arguments": _parsed(_ENDS.sub("", brace + arguments))}))
    return _calling(calls, content)


def read_json(text: str, names: Collection[str]) -> CallingText | None:
    """Objects with a name and ``parameters`` or ``arguments``, and nothing else, as Llama 3 writes it; several are
    separated by semicolons or lines.

    An answer can be such an object, so it must have the name of a function.
    """
    rest = _ENDS.sub("", text).replace(_LLAMA, "", 1).strip()
    decoder = json.JSONDecoder()
    calls: list[ToolCall | None] = []
    while rest:
        try:
            value, end = decoder.raw_decode(rest)
        except (ValueError, RecursionError):
            return None
        calls += map(read_call, value if isinstance(value, list) else [value])
        rest = rest[end:].lstrip("; \n\t\r")
    if any(call is None or call.name not in names for call in calls):
        return None
    return _calling(calls, "")


def call_documents(calls: Sequence[ToolCall]) -> list[JsonValue]:
    """Calls in the form of the API of OpenAI.

    The id has nine letters and digits, as the templates of Mistral demand it; the same answer has the same ids.
    """
    documents: list[JsonValue] = []
    for index, call in enumerate(calls):
        digest = hashlib.sha256(json.dumps([index, call.name, call.arguments]).encode())
        function: dict[str, JsonValue] = {"name": call.name, "arguments": call.arguments}
        documents.append({"id": digest.hexdigest()[:9], "type": "function", "function": function})
    return documents


def _calling(calls: Sequence[ToolCall | None], content: str) -> CallingText | None:
    """``None`` if there are no calls, or one of them cannot be read."""
    good = tuple(call for call in calls if call is not None)
    if not good or len(good) < len(calls):
        return None
    return CallingText(good, _ENDS.sub("", content).strip())


def read_call(value: JsonValue) -> ToolCall | None:
    """A call from its JSON document; ``None`` if it is none."""
    if not isinstance(value, dict) or not isinstance(value.get("name"), str) or not value["name"]:
        return None
    arguments = value.get("arguments", value.get("parameters", {}))
    if isinstance(arguments, str):  # JSON in JSON, as some models write it
        arguments = _parsed(arguments)
    if not isinstance(arguments, dict):
        return None
    try:
        written = json.dumps(arguments, ensure_ascii=False, allow_nan=False)
    except (ValueError, RecursionError):
        return None
    return ToolCall(_stored(str(value["name"])), _stored(written))


def _stored(text: str) -> str:
    return _NOT_STORED.sub(_REPLACEMENT, text)


def _parsed(text: str) -> JsonValue:
    """The value of a JSON text; ``None`` if it is none."""
    try:
        value: JsonValue = json.loads(text, parse_constant=_refuse)
    except (ValueError, RecursionError):
        return None
    return value


def _refuse(constant: str) -> JsonValue:
    raise ValueError(f"{constant} is not a number in JSON")
