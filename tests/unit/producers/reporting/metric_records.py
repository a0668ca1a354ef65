"""Metric records for tests."""

from __future__ import annotations

from datetime import UTC, datetime

from longshore.shared.ledger.records import MetricRecord

NOW = datetime(2030, 1, 2, tzinfo=UTC)


def metric_records(**series: list[float]) -> list[MetricRecord]:
    """Metrics by name: the values of the epochs, starting with epoch 1."""
    return [
        MetricRecord(step=step, name=name, value=value, recorded_at=NOW)
        for name, values in series.items()
        for step, value in enumerate(values, start=1)
    ]
