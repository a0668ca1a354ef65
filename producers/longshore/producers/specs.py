"""What a job was told, as others than its producer may see it."""

from __future__ import annotations

from longshore.shared.ledger.records import JobRecord
from longshore.shared.store.address import public


def public_spec(record: JobRecord) -> dict[str, object]:
    """The spec. The addresses of its data and output can hold keys, which its producer knows, and others need not."""
    spec: dict[str, object] = dict(record.spec)
    for name in ("data", "validation", "test"):
        data = record.spec.get(name)
        if isinstance(data, dict) and "uri" in data:
            spec[name] = {**data, "uri": public(str(data["uri"]))}
    if record.spec.get("output") is not None:
        spec["output"] = public(str(record.spec["output"]))
    return spec
