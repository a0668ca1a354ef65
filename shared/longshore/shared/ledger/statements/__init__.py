"""Every SQL statement of Longshore but the migrations, each once and by name.

Locks are always taken in one order, so that no two transactions wait for each other in a circle: the shards of a job by
index, then the job.
"""

from __future__ import annotations

from longshore.shared.ledger.statements import (
    attempts,
    batch_sizes,
    batching,
    cancel_retry,
    chains,
    clock,
    fence,
    gateway,
    installation,
    limits,
    maintenance,
    models,
    partitions,
    queries,
    retention,
    roles,
    sessions,
    shards,
    space,
    submission,
    trials,
    workers,
)

__all__ = [
    "attempts",
    "batch_sizes",
    "batching",
    "cancel_retry",
    "chains",
    "clock",
    "fence",
    "gateway",
    "installation",
    "limits",
    "maintenance",
    "models",
    "partitions",
    "queries",
    "retention",
    "roles",
    "sessions",
    "shards",
    "space",
    "submission",
    "trials",
    "workers",
]
