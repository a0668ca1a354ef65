"""Checks that a text matches what it must: independently of the engine that has held the model to it."""

from __future__ import annotations

import json
import math
import re
from typing import Final

from pydantic import JsonValue

from longshore.shared.specs.generate import GenerateSpec
from longshore.shared.specs.validation import shorten
from longshore.workers.generate.constraints import bytes_tokenizer, compile_constraint, make_constraint
from longshore.workers.generate.engines.base import Completion
from longshore.workers.generate.json_schema import make_validator, schema_fault

#: Lists and objects in each other.
_MAX_DEPTH: Final = 200
#: Brackets, and strings, which can have brackets. It matches wherever a string begins, so that it takes no second look.
_BRACKETS: Final = re.compile(r'"(?:[^"\\]|\\.?)*(?:"|\Z)|[\[\]{}]', re.DOTALL)
#: Texts that Postgres does not store.
_NOT_STORED: Final = re.compile(r"[\0\ud800-\udfff]")


class AnswerChecker:
    """Checks the texts of a job.

    :raises InvalidInput: what the texts must match cannot be compiled, or this worker does not have what checks it.
    """

    def __init__(self, spec: GenerateSpec) -> None:
        constraint = make_constraint(spec)
        self._choices = frozenset(spec.choices)
        self._validator = None if spec.json_schema is None else make_validator(spec.json_schema)
        #: Matches bytes, for the regular expression.
        self._matcher = None if constraint is None else compile_constraint(constraint, bytes_tokenizer())

    @property
    def gives_data(self) -> bool:
        """Whether a text is a JSON document, whose value is put out, too."""
        return self._validator is not None

    def check(self, text: str, completion: Completion) -> JsonValue:
        """The value of a text if it is a JSON document, otherwise ``None``.

        :raises ValueError: it does not match.
        """
        if self._matcher is None:
            return None
        reason, value = self._fault(text)
        if reason is None:
            return value
        if completion.finish == "length":
            raise ValueError(f"ended after {len(completion.tokens):,} tokens {self._inside}; raise max_tokens")
        raise ValueError(f"{shorten(text)} {reason}")

    @property
    def _inside(self) -> str:
        if self._validator is not None:
            return "inside the JSON document"
        return "inside the choice" if self._choices else "before it matched the regular expression"

    def _fault(self, text: str) -> tuple[str | None, JsonValue]:
        """What is wrong with a text, or ``None`` and its value."""
        if self._validator is not None:
            try:
                value = parse_document(text)
            except ValueError as error:
                return f"is not a JSON document: {error}", None
            reason = schema_fault(self._validator, value)
            return reason, None if reason else value
        if self._choices:
            return (None if text in self._choices else "is none of the choices"), None
        return (None if self._matches(text) else "does not match the regular expression"), None

    def _matches(self, text: str) -> bool:
        """Whether the regular expression matches a text as a whole. It has the same syntax as in the engine, and takes
        time in proportion to the text.
        """
        assert self._matcher is not None
        matcher = self._matcher.deep_copy()
        tokens = list(text.encode("utf-8", "replace"))
        return bool(matcher.try_consume_tokens(tokens) == len(tokens) and matcher.is_accepting())


def parse_document(text: str) -> JsonValue:
    """The value of a JSON document that Postgres can store. Of a key that is given twice, the last one counts.

    :raises ValueError: it is not valid JSON, or has a value that cannot be stored.
    """
    if text.count("[") + text.count("{") > _MAX_DEPTH:
        _check_depth(text)
    value: JsonValue = json.loads(text, parse_constant=_refuse, parse_float=_finite)
    if "\\u" in text or "\0" in text:
        _check_stored(value)
    return value


def _check_depth(text: str) -> None:
    """Refuse a deep document before anything calls itself for each of its levels."""
    depth = 0
    for bracket in _BRACKETS.findall(text):
        depth += {"[": 1, "{": 1, "]": -1, "}": -1}.get(bracket, 0)
        if depth > _MAX_DEPTH:
            raise ValueError(f"it is nested more than {_MAX_DEPTH} deep")


def _refuse(constant: str) -> JsonValue:
    raise ValueError(f"{constant} is not a number in JSON")


def _finite(text: str) -> float:
    number = float(text)
    if not math.isfinite(number):
        raise ValueError(f"the number {text[:80]} is out of range")
    return number


def _check_stored(value: JsonValue) -> None:
    waiting = [value]
    while waiting:
        current = waiting.pop()
        if isinstance(current, dict):
            waiting += (*current.keys(), *current.values())
        elif isinstance(current, list):
            waiting += current
        elif isinstance(current, str) and _NOT_STORED.search(current):
            raise ValueError(f"{shorten(current)} has a NUL character or half of a surrogate pair")
