"""Checks, before a job is queued, what its texts must match and the tools that they may call.

A producer need not have the packages that compile a grammar (the extra ``huggingface``). Without them the worker checks
it, and the job fails once.
"""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Iterator, Mapping
from typing import Final

from pydantic import BaseModel, JsonValue, PydanticUserError

from longshore.shared.errors import InvalidInput
from longshore.shared.specs.generate import GenerateSpec
from longshore.shared.specs.tool_choice import AUTO, NONE, functions_of
from longshore.shared.specs.validation import shorten

#: Keywords of JSON Schema whose values are data.
_DATA: Final = frozenset({"const", "default", "enum", "examples"})
#: The name of a function, as the API of OpenAI takes it.
_FUNCTION_NAME: Final = re.compile(r"[A-Za-z0-9_-]{1,64}")


def with_schema(options: Mapping[str, object]) -> dict[str, object]:
    """The options of a request with the schema of a class in its place.

    :raises InvalidInput: the class has none.
    """
    return {name: schema_of(value) if name == "schema" else value for name, value in options.items()}


def schema_of(value: object) -> object:
    """The JSON Schema of a pydantic model class; anything else as it is.

    :raises InvalidInput: the class has no schema.
    """
    if not (isinstance(value, type) and issubclass(value, BaseModel)):
        return value
    try:
        return value.model_json_schema()
    except PydanticUserError as error:
        raise InvalidInput("schema", f"{value.__name__} has no JSON Schema: {error.message}") from None


def check_structured_output(spec: GenerateSpec) -> None:
    """:raises InvalidInput: a schema, a regular expression or a tool cannot be used; names the option."""
    try:
        if spec.json_schema is not None:
            _check_schema("schema", spec.json_schema)
            _compile("schema", "grammar_from_json_schema", json.dumps(spec.json_schema))
        if spec.regex is not None:
            _compile("regex", "grammar_from_regex", spec.regex)
        _check_tools(spec.tools)
        for index, function in enumerate(functions_of(spec.tools)):
            kind = function.schema["type"]
            if kind != "object" and (function.is_strict or spec.tool_choice not in (AUTO, NONE)):
                raise InvalidInput(
                    f"tools[{index}].function.parameters", f"the type {shorten(kind)}: arguments are an object"
                )
        forced = spec.forced_calls(spec.tool_choice)
        if forced is not None:
            _compile("tool_choice", "grammar_from_json_schema", json.dumps(forced.schema))
    except RecursionError:
        raise InvalidInput("schema", "it is nested too deeply") from None


def _check_tools(tools: tuple[dict[str, JsonValue], ...]) -> None:
    names = [_check_tool(f"tools[{index}]", tool) for index, tool in enumerate(tools)]
    for name, times in Counter(names).items():
        if times > 1:
            raise InvalidInput("tools", f"{times} functions are called {name!r}; rename them")


def _check_tool(field: str, tool: Mapping[str, JsonValue]) -> str:
    """The name of the function."""
    function = tool.get("function")
    if tool.get("type") != "function" or not isinstance(function, dict):
        example = '{"type": "function", "function": {"name": ..., "description": ..., "parameters": {...}}}'
        raise InvalidInput(field, f"{shorten(tool)}; give {example}")
    name = function.get("name")
    if not isinstance(name, str) or not _FUNCTION_NAME.fullmatch(name):
        raise InvalidInput(field, f"function.name {shorten(name)}: give up to 64 letters, digits, '_' and '-'")
    parameters = function.get("parameters")
    if parameters is not None and not isinstance(parameters, dict):
        raise InvalidInput(field, f"function.parameters {shorten(parameters)}: give a JSON Schema")
    if parameters:
        _check_schema(f"{field}.function.parameters", parameters)
    strict = function.get("strict")
    if strict is not None and not isinstance(strict, bool):
        raise InvalidInput(field, f"function.strict {shorten(strict)}: give true or false")
    return name


def _check_schema(field: str, schema: Mapping[str, JsonValue]) -> None:
    """:raises InvalidInput: it is no JSON Schema, or refers to another document."""
    for reference in _references(schema):
        if not reference.startswith("#"):
            raise InvalidInput(
                field,
                f"$ref {shorten(reference)}: nothing is fetched; put the schema into $defs, and refer to #/$defs/...",
            )
    try:
        from jsonschema import exceptions, validators
    except ImportError:
        return
    kind = validators.validator_for(schema, default=validators.Draft202012Validator)
    try:
        kind.check_schema(schema)
    except exceptions.SchemaError as error:
        where = "".join(f"[{step!r}]" for step in error.absolute_path)
        raise InvalidInput(field, f"not a JSON Schema: {error.message}{f' (at {where})' if where else ''}") from None


def _references(value: JsonValue | Mapping[str, JsonValue]) -> Iterator[str]:
    """What the schema refers to."""
    if isinstance(value, list):
        for item in value:
            yield from _references(item)
    if not isinstance(value, Mapping):
        return
    for key, item in value.items():
        if key in ("$ref", "$dynamicRef", "$recursiveRef") and isinstance(item, str):
            yield item
        elif key not in _DATA:
            yield from _references(item)


def _compile(field: str, method: str, source: str) -> None:
    """:raises InvalidInput: no grammar can be made of it."""
    try:
        from llguidance import LLMatcher
    except ImportError:
        return
    try:
        error: str = LLMatcher.validate_grammar(getattr(LLMatcher, method)(source))
    except (ValueError, TypeError) as raised:
        error = str(raised)
    if error:
        # A parser of regular expressions draws where it stopped, and says why in its last line.
        lines = [line.strip().removeprefix("error: ") for line in error.splitlines() if line.startswith("error: ")]
        reason = lines[0] if lines else error.splitlines()[0]
        raise InvalidInput(field, f"{shorten(source)} cannot be compiled: {reason}")
