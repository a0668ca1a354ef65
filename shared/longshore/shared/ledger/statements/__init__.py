"""Every statement the ledger sends, by name, a module for each thing that is done.

Locks are always taken in this order, so that no two transactions wait for each other in a circle:
the shards of a job by index, then the job.
"""

from __future__ import annotations

from longshore.shared.ledger.statements import (
    attempts,
    batch_sizes,
    cancel_retry,
    chains,
    channels,
    installation,
    maintenance,
    models,
    partitions,
    queries,
    retention,
    submission,
    workers,
)

__all__ = [
    "attempts",
    "batch_sizes",
    "cancel_retry",
    "chains",
    "channels",
    "installation",
    "maintenance",
    "models",
    "partitions",
    "queries",
    "retention",
    "submission",
    "workers",
]
