"""Whether a model must call a function: the values of ``tool_choice``, and the schema of a text that calls one."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from pydantic import JsonValue

from longshore.shared.errors import InvalidInput
from longshore.shared.specs.validation import shorten

#: The model decides; it is shown no tools; it calls one or several of them. Other values are names of functions.
AUTO: Final = "auto"
NONE: Final = "none"
REQUIRED: Final = "required"
#: Names that no function can be chosen by.
CHOICES: Final = (AUTO, NONE, REQUIRED)

#: The arguments of a function that says nothing of them.
_NO_ARGUMENTS: Final[Mapping[str, JsonValue]] = {"type": "object", "properties": {}, "additionalProperties": False}
#: Keywords of JSON Schema whose values are data, and those whose values are schemas by name.
_DATA: Final = frozenset({"const", "default", "enum", "examples"})
_BY_NAME: Final = frozenset({"properties", "patternProperties", "$defs", "definitions", "dependentSchemas"})


@dataclass(frozen=True)
class ToolFunction:
    """A function that a model may call."""

    name: str
    #: JSON Schema of its arguments.
    schema: Mapping[str, JsonValue]
    #: Whether arguments that do not match the schema are an error even where the model decides.
    is_strict: bool


@dataclass(frozen=True)
class ForcedCalls:
    """What a text must call."""

    #: One of these, or several.
    functions: tuple[ToolFunction, ...]
    #: Whether the caller has named the one function. The text is its arguments then; else it is a list of calls.
    is_named: bool
    #: Whether it is one call.
    is_single: bool

    @property
    def schema(self) -> dict[str, JsonValue]:
        """JSON Schema of the text."""
        if self.is_named:
            return dict(self.functions[0].schema)
        calls: list[JsonValue] = [
            {
                "type": "object",
                "properties": {"name": {"const": each.name}, "arguments": {"$ref": f"#/$defs/{each.name}"}},
                "required": ["name", "arguments"],
                "additionalProperties": False,
            }
            for each in self.functions
        ]
        schema: dict[str, JsonValue] = {
            "type": "array",
            "minItems": 1,
            "items": calls[0] if len(calls) == 1 else {"anyOf": calls},
            "$defs": {each.name: _moved(dict(each.schema), f"#/$defs/{each.name}") for each in self.functions},
        }
        return {**schema, "maxItems": 1} if self.is_single else schema


def functions_of(tools: Sequence[Mapping[str, JsonValue]]) -> tuple[ToolFunction, ...]:
    """The functions of tools in the form of OpenAI's API. What is no function is left out."""
    functions = []
    for tool in tools:
        function = tool.get("function")
        if isinstance(function, dict) and isinstance(name := function.get("name"), str):
            schema = function.get("parameters")
            written = {"type": "object", **schema} if isinstance(schema, dict) and schema else _NO_ARGUMENTS
            functions.append(ToolFunction(name, written, function.get("strict") is True))
    return tuple(functions)


def forced_calls(tools: Sequence[Mapping[str, JsonValue]], choice: str, *, parallel: bool = True) -> ForcedCalls | None:
    """What a text must call; ``None``: nothing.

    :param choice: ``auto``, ``none``, ``required`` or the name of a function.
    :param parallel: whether it may be several calls.
    :raises InvalidInput: there is no such function, or there are no tools; names ``tool_choice``. Or the model decides
        and several calls are not allowed; names ``parallel_tool_calls``.
    """
    functions = functions_of(tools)
    if choice != AUTO and not functions:
        raise InvalidInput("tool_choice", f"{shorten(choice)}: only with tools; leave it out")
    if choice == AUTO and not parallel:
        raise InvalidInput(
            "parallel_tool_calls",
            "false: where the model decides, it decides how many tools it calls; leave it out, or give a tool_choice",
        )
    if choice in (AUTO, NONE):
        return None
    if choice == REQUIRED:
        return ForcedCalls(functions, is_named=False, is_single=not parallel)
    named = tuple(each for each in functions if each.name == choice)
    if not named:
        names = ", ".join(each.name for each in functions)
        raise InvalidInput(
            "tool_choice", f"{shorten(choice)}: no function has this name; give {', '.join(CHOICES)}, or one of {names}"
        )
    return ForcedCalls(named, is_named=True, is_single=True)


def shown_tools(tools: Sequence[Mapping[str, JsonValue]]) -> tuple[dict[str, JsonValue], ...]:
    """Tools as a chat template gets them: ``strict`` is not for the model."""
    return tuple({key: _without_strict(value) for key, value in tool.items()} for tool in tools)


def _without_strict(value: JsonValue) -> JsonValue:
    return {key: item for key, item in value.items() if key != "strict"} if isinstance(value, dict) else value


def _moved(value: JsonValue, place: str) -> JsonValue:
    """A schema whose references to itself hold where it is a part of another document."""
    if isinstance(value, list):
        return [_moved(each, place) for each in value]
    if not isinstance(value, dict):
        return value
    moved: dict[str, JsonValue] = {}
    for key, item in value.items():
        if key == "$ref" and isinstance(item, str) and (item == "#" or item.startswith("#/")):
            moved[key] = place + item[1:]
        elif key in _BY_NAME and isinstance(item, dict):
            moved[key] = {name: _moved(each, place) for name, each in item.items()}
        elif key in _DATA:
            moved[key] = item
        elif key not in ("$schema", "$id"):  # of a document as a whole
            moved[key] = _moved(item, place)
    return moved
