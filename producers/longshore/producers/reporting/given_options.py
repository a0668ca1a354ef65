"""The options of a job, divided into those that were given and the defaults."""

from __future__ import annotations

from collections.abc import Mapping

from pydantic import JsonValue
from pydantic_core import PydanticUndefined

from longshore.producers.reporting.redaction import public_spec
from longshore.shared.ledger.records import JobRecord
from longshore.shared.specs.train import TrainSpec
from longshore.shared.vocabulary import JobKind


def given_options(record: JobRecord) -> tuple[dict[str, JsonValue], dict[str, JsonValue]]:
    """The options of a job that differ from their defaults, and the others; without credentials of URLs.

    For a job that is no training, all options count as given.
    """
    spec = public_spec(record)
    if record.kind != JobKind.TRAIN:
        return spec, {}
    defaults = _defaults()
    given = {name: value for name, value in spec.items() if name not in defaults or value != defaults[name]}
    return given, {name: value for name, value in spec.items() if name not in given}


def _defaults() -> Mapping[str, object]:
    fields = TrainSpec.model_fields.items()
    values = {name: field.get_default(call_default_factory=True) for name, field in fields}
    return {
        # As JSON has them.
        name: list(value) if isinstance(value, tuple) else value
        for name, value in values.items()
        if value is not PydanticUndefined
    }
