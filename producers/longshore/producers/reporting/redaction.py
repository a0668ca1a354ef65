"""What a job was told, as others than its producer may see it."""

from __future__ import annotations

from collections.abc import Mapping

from longshore.shared.ledger.records import JobRecord
from longshore.shared.store.address import public


def public_spec(record: JobRecord) -> dict[str, object]:
    """The spec. The addresses of its data and output can hold keys, which its producer knows, and others need not."""
    return _public(record.spec)


def _public(found: Mapping[str, object]) -> dict[str, object]:
    spec = dict(found)
    for name in ("data", "validation", "test"):
        data = spec.get(name)
        if isinstance(data, dict) and "uri" in data:
            spec[name] = {**data, "uri": public(str(data["uri"]))}
    if spec.get("output") is not None:
        spec["output"] = public(str(spec["output"]))
    # Jobs of many trainings hold the spec of one.
    training = spec.get("train")
    if isinstance(training, dict):
        spec["train"] = _public(training)
    return spec
