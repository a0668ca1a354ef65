"""Calls of functions that a text must make, and arguments that must match the schema of their function."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import TYPE_CHECKING

from pydantic import JsonValue

from longshore.shared.specs.generate import GenerateSpec
from longshore.shared.specs.tool_choice import ForcedCalls, functions_of
from longshore.shared.specs.validation import shorten
from longshore.workers.generate.answers import parse_document
from longshore.workers.generate.engines.base import Completion, Constraint
from longshore.workers.generate.json_schema import make_validator, schema_fault
from longshore.workers.generate.tool_calls import ToolCall, read_call

if TYPE_CHECKING:
    from jsonschema.protocols import Validator


class CallConstraints:
    """What texts must match by the ``tool_choice`` of their rows."""

    def __init__(self, spec: GenerateSpec) -> None:
        self._spec = spec
        self._constraints: dict[str, Constraint | None] = {}

    def of(self, choice: str) -> Constraint | None:
        """``None``: nothing.

        :raises InvalidInput: there is no such choice.
        """
        if choice not in self._constraints:
            forced = self._spec.forced_calls(choice)
            self._constraints[choice] = (
                None if forced is None else Constraint(json_schema=json.dumps(forced.schema), is_call=True)
            )
        return self._constraints[choice]


class CallChecker:
    """Checks the calls of texts, independently of the engine that has held the model to them."""

    def __init__(self, spec: GenerateSpec) -> None:
        self._functions = {each.name: each for each in functions_of(spec.tools)}
        self._validators: dict[str, Validator] = {}

    def read(self, text: str, completion: Completion, forced: ForcedCalls) -> tuple[ToolCall, ...]:
        """The calls of a text that must make some.

        :raises ValueError: it is cut, or does not make them.
        """
        try:
            value = parse_document(text)
        except ValueError as error:
            if completion.finish == "length":
                raise ValueError(
                    f"ended after {len(completion.tokens):,} tokens inside a call of a function; raise max_tokens"
                ) from None
            raise ValueError(f"{shorten(text)} is no call of a function: {error}") from None
        named: JsonValue = [{"name": forced.functions[0].name, "arguments": value}] if forced.is_named else value
        read = [read_call(each) for each in named] if isinstance(named, list) else []
        calls = tuple(call for call in read if call is not None)
        known = {each.name for each in forced.functions}
        if not calls or len(calls) < len(read) or any(call.name not in known for call in calls):
            raise ValueError(f"{shorten(text)} does not call what it must")
        if forced.is_single and len(calls) > 1:
            raise ValueError(f"{len(calls)} calls, but parallel_tool_calls is false")
        for call in calls:
            self._check(call)
        return calls

    def check(self, calls: Sequence[ToolCall]) -> None:
        """:raises ValueError: the arguments of a strict function do not match its schema."""
        for call in calls:
            if call.name in self._functions and self._functions[call.name].is_strict:
                self._check(call)

    def _check(self, call: ToolCall) -> None:
        if call.name not in self._validators:
            self._validators[call.name] = make_validator(dict(self._functions[call.name].schema))
        reason = schema_fault(self._validators[call.name], json.loads(call.arguments))
        if reason is not None:
            raise ValueError(f"the call of {call.name!r}: arguments {shorten(call.arguments)} {reason}")
