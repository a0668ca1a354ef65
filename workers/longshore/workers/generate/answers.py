"""Checks that a text matches what it must: independently of the engine that has held the model to it."""

from __future__ import annotations

import json
import math
import re
from functools import cached_property
from typing import TYPE_CHECKING, Final

from pydantic import JsonValue

from longshore.shared.errors import InvalidInput
from longshore.shared.specs.generate import GenerateSpec
from longshore.shared.specs.validation import shorten
from longshore.workers.generate.constraints import compile_constraint, make_constraint
from longshore.workers.generate.engines.base import Completion, Constraint

if TYPE_CHECKING:
    from collections.abc import Iterator

    from jsonschema.protocols import Validator
    from llguidance import LLTokenizer

#: Seconds that the regular expressions of a schema may take for one value.
_PATTERN_TIMEOUT_S: Final = 0.25
#: Texts that Postgres does not store.
_NOT_STORED: Final = re.compile(r"[\0\ud800-\udfff]")


class AnswerChecker:
    """Checks the texts of a job.

    :raises InvalidInput: the schema is none, or this worker does not have what checks it.
    """

    def __init__(self, spec: GenerateSpec) -> None:
        self._choices = frozenset(spec.choices)
        self._constraint: Constraint | None = make_constraint(spec)
        self._validator = None if spec.json_schema is None else _validator(spec.json_schema)

    @property
    def gives_data(self) -> bool:
        """Whether a text is a JSON document, whose value is put out, too."""
        return self._validator is not None

    def check(self, text: str, completion: Completion) -> JsonValue:
        """The value of a text if it is a JSON document, otherwise ``None``.

        :raises ValueError: it does not match.
        """
        if self._constraint is None:
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
            return self._json_fault(text)
        if self._choices:
            return (None if text in self._choices else "is none of the choices"), None
        return (None if self._matches(text) else "does not match the regular expression"), None

    def _json_fault(self, text: str) -> tuple[str | None, JsonValue]:
        from jsonschema import exceptions

        assert self._validator is not None
        try:
            value = parse_document(text)
            error = next(self._validator.iter_errors(value), None)
        except ValueError as raised:
            return f"is not a JSON document: {raised}", None
        except RecursionError:
            return "is nested too deeply", None
        except exceptions._WrappedReferencingError as raised:  # the same for every text
            raise InvalidInput("schema", f"{raised}; put what it refers to into $defs") from None
        if error is not None:
            return f"does not match the schema: {error.message[:300]}", None
        return None, value

    def _matches(self, text: str) -> bool:
        """Whether the regular expression matches a text as a whole. It is the same syntax as in the engine, and takes
        time in proportion to the text.
        """
        assert self._constraint is not None
        matcher = compile_constraint(self._constraint, self._bytes)
        tokens = list(text.encode())
        return bool(matcher.try_consume_tokens(tokens) == len(tokens) and matcher.is_accepting())

    @cached_property
    def _bytes(self) -> LLTokenizer:
        """A tokenizer whose tokens are the bytes."""
        from llguidance import LLTokenizer

        return LLTokenizer("byte")


def parse_document(text: str) -> JsonValue:
    """The value of a JSON document that Postgres can store. Of a key that is given twice, the last one counts.

    :raises ValueError: it is not valid JSON, or has a value that cannot be stored.
    """
    value: JsonValue = json.loads(text, parse_constant=_refuse, parse_float=_finite)
    if "\\u" in text or "\0" in text:
        _check_stored(value)
    return value


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


def _validator(schema: dict[str, JsonValue]) -> Validator:
    """A validator that fetches nothing, and that no regular expression can keep busy.

    Formats are annotations, as the standard says: the engine holds the model to those that it knows.
    """
    try:
        import referencing
        from jsonschema import exceptions, validators
    except ImportError as error:
        raise InvalidInput(
            "schema", f"jsonschema is not installed on this worker; pip install 'longshore[huggingface]' ({error})"
        ) from error
    kind = validators.validator_for(schema, default=validators.Draft202012Validator)
    try:
        kind.check_schema(schema)
    except (exceptions.SchemaError, RecursionError) as error:
        raise InvalidInput("schema", f"no JSON Schema: {getattr(error, 'message', error)}") from None
    bounded = validators.extend(kind, {"pattern": _pattern})
    validator: Validator = bounded(schema, registry=referencing.Registry())
    return validator


def _pattern(validator: Validator, pattern: str, value: object, schema: object) -> Iterator[Exception]:
    """The keyword ``pattern``, in bounded time."""
    import regex  # type: ignore[import-untyped]
    from jsonschema import ValidationError

    if not isinstance(value, str):
        return
    try:
        found = regex.search(pattern, value, timeout=_PATTERN_TIMEOUT_S) is not None
    except (regex.error, TimeoutError):  # the syntax of another library, or too slow: the engine has checked it
        return
    if not found:
        yield ValidationError(f"{value!r} does not match {pattern!r}")
