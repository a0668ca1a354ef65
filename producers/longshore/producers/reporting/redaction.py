"""Removing secrets from the spec of a job."""

from __future__ import annotations

from collections.abc import Mapping

from pydantic import JsonValue

from longshore.shared.ledger.records import JobRecord
from longshore.shared.store.address import public


def public_spec(record: JobRecord) -> dict[str, JsonValue]:
    """The spec of a job without the credentials that the URLs of its data and output can contain."""
    return _redact(record.spec)


def _redact(full: Mapping[str, JsonValue]) -> dict[str, JsonValue]:
    spec = dict(full)
    for name in ("data", "validation", "test"):
        data = spec.get(name)
        if isinstance(data, dict) and "uri" in data:
            spec[name] = {**data, "uri": public(str(data["uri"]))}
    if spec.get("output") is not None:
        spec["output"] = public(str(spec["output"]))
    # Searches and cross-validations contain the spec of a training job.
    training = spec.get("train")
    if isinstance(training, dict):
        spec["train"] = _redact(training)
    return spec
