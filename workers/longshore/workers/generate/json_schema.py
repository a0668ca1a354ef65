"""Checks values against JSON Schemas that others have written: nothing is fetched, and nothing takes for ever."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import TYPE_CHECKING, Final

from pydantic import JsonValue

from longshore.shared.errors import InvalidInput

if TYPE_CHECKING:
    from jsonschema import ValidationError
    from jsonschema.protocols import Validator

#: Seconds that one regular expression may take for one text. The library looks at its clock now and then.
_PATTERN_TIMEOUT_S: Final = 0.25


def make_validator(schema: dict[str, JsonValue]) -> Validator:
    """A validator.

    Formats are annotations, as the standard says: the engine holds the model to those that it knows.

    :raises InvalidInput: it is no JSON Schema, or this worker has no jsonschema.
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
        raise InvalidInput("schema", f"not a JSON Schema: {getattr(error, 'message', error)}") from None
    keywords = {
        "pattern": _pattern,
        "patternProperties": _pattern_properties,
        "additionalProperties": _additional_properties,
    }
    validator: Validator = validators.extend(kind, keywords)(schema, registry=referencing.Registry())
    return validator


def schema_fault(validator: Validator, value: JsonValue) -> str | None:
    """Why a value does not match, or ``None``."""
    try:
        error = next(validator.iter_errors(value), None)
    except RecursionError:
        return "cannot be checked: the schema refers to itself without end"
    except Exception as raised:  # of the library: a reference to nothing, a keyword with a value that it does not know
        return f"cannot be checked: schema: {str(raised)[:200]}"
    return None if error is None else f"does not match the schema: {error.message[:300]}"


def _found(pattern: str, text: str) -> bool:
    """Whether a regular expression is found in a text. If it takes too long, or has the syntax of another library, the
    engine has checked it alone, and the answer is yes.
    """
    import regex  # type: ignore[import-untyped]

    try:
        return regex.search(pattern, text, timeout=_PATTERN_TIMEOUT_S) is not None
    except (regex.error, TimeoutError):
        return True


def _pattern(
    validator: Validator, pattern: str, value: JsonValue, schema: Mapping[str, JsonValue]
) -> Iterator[ValidationError]:
    from jsonschema import ValidationError

    if isinstance(value, str) and not _found(pattern, value):
        yield ValidationError(f"{value!r} does not match {pattern!r}")


def _pattern_properties(
    validator: Validator, patterns: Mapping[str, JsonValue], value: JsonValue, schema: Mapping[str, JsonValue]
) -> Iterator[ValidationError]:
    for pattern, inner in patterns.items():
        for name, item in value.items() if isinstance(value, dict) else ():
            if _found(pattern, name):
                yield from validator.descend(item, inner, path=name, schema_path=pattern)


def _additional_properties(
    validator: Validator, inner: JsonValue, value: JsonValue, schema: Mapping[str, JsonValue]
) -> Iterator[ValidationError]:
    from jsonschema import ValidationError

    if not isinstance(value, dict):
        return
    for name in _additional(value, schema):
        if inner is False:
            yield ValidationError(f"the property {name!r} is not in the schema")
        else:
            yield from validator.descend(value[name], inner, path=name)


def _additional(names: Iterable[str], schema: Mapping[str, JsonValue]) -> Iterator[str]:
    """The names that no other keyword of the schema speaks of."""
    known, patterns = schema.get("properties"), schema.get("patternProperties")
    for name in names:
        listed = isinstance(known, dict) and name in known
        if not listed and not any(_found(each, name) for each in patterns or () if isinstance(each, str)):  # type: ignore[union-attr]
            yield name
