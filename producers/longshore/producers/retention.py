"""Pruning: removing the results of old jobs from Postgres and from the store."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

from longshore.shared.ledger.ledger import Ledger
from longshore.shared.ledger.retention.removal import Pruned
from longshore.shared.settings import Settings
from longshore.shared.store.store import Store
from longshore.shared.store_gc import sweep


def prune(ledger: Ledger, settings: Settings, older_than: timedelta, *, dry_run: bool) -> Pruned:
    """Prune the ledger, then delete the blobs that held the pruned rows, if nothing else refers to them.

    :returns: what was removed. ``blobs`` lists the deleted blobs; blobs younger than a day are left to a later sweep
        of the store.
    """
    pruned = ledger.pruning.prune(older_than, dry_run=dry_run)
    if dry_run or not pruned.blobs:
        return pruned
    swept = sweep(Store(settings.store, expected=ledger.models.exist), ledger, only=frozenset(pruned.blobs))
    return replace(pruned, blobs=[blob.digest for blob in swept.blobs])
