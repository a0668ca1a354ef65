"""The models that a request names: the one that it runs or makes, and those that its options name."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import suppress
from typing import Final

from pydantic import JsonValue

from longshore.producers.gateway.access.callers import Caller
from longshore.producers.gateway.problems import Problem
from longshore.shared.errors import InvalidInput
from longshore.shared.ledger.gateway.tokens import Scope
from longshore.shared.ledger.records import JobRecord
from longshore.shared.references import ModelReference

#: Options whose value is a reference to a model.
_NAMING: Final = ("base", "teacher", "against", "judge")


def check_reference(caller: Caller, reference: str) -> None:
    """Check that the caller may use the model of a reference.

    :raises InvalidInput: it is no reference.
    :raises Problem: 403; whether there is such a model is not said.
    """
    caller.check_model(ModelReference.parse(reference).name)


def check_options(caller: Caller, options: Mapping[str, JsonValue]) -> None:
    """Check the models that options name, or the values that a search tries for options.

    :raises Problem: 403; whether there is such a model is not said. Or the options move an alias, and the token lacks
        the scope for it.
    """
    if options.get("alias") is not None and Scope.MODELS_WRITE not in caller.token.scopes:
        raise Problem(403, "forbidden", f"this token lacks the scope {Scope.MODELS_WRITE}, which moving an alias needs")
    for reference in _references(options):
        with suppress(InvalidInput):  # planning says what is wrong
            check_reference(caller, reference)


def check_job(caller: Caller, record: JobRecord) -> None:
    """Check that the caller may have a job run again, or go on, as if it was submitted by the caller.

    :raises Problem: 403.
    """
    caller.check_model(record.model)
    for options in (record.spec, record.spec.get("train")):
        if isinstance(options, dict):
            check_options(caller, options)


def may_use(caller: Caller, model: str) -> bool:
    """Whether the caller may use a model."""
    try:
        caller.check_model(model)
    except Problem:
        return False
    return True


def _references(options: Mapping[str, JsonValue]) -> Iterator[str]:
    values = [each for name in (*_NAMING, "tokenizer") for each in _listed(options.get(name))]
    versions = (value.get("version") if isinstance(value, dict) else value for value in values)
    yield from (version for version in versions if isinstance(version, str))


def _listed(value: JsonValue) -> list[JsonValue]:
    return value if isinstance(value, list) else [value]
