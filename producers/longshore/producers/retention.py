"""Pruning: what old jobs have left in Postgres, and in the store."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

from longshore.shared.ledger.ledger import Ledger
from longshore.shared.ledger.retention import Pruned
from longshore.shared.settings import Settings
from longshore.shared.store.store import Store
from longshore.shared.store_gc import sweep


def prune(ledger: Ledger, settings: Settings, older_than: timedelta, *, dry_run: bool) -> Pruned:
    """Prune the ledger, then those blobs that held its rows and that nothing else names.

    :returns: as ``blobs``, those that are gone; a sweep of the store takes what was put less than a day ago.
    """
    pruned = ledger.pruning.prune(older_than, dry_run=dry_run)
    if dry_run or not pruned.blobs:
        return pruned
    swept = sweep(Store(settings.store), ledger, only=frozenset(pruned.blobs))
    return replace(pruned, blobs=[blob.digest for blob in swept.blobs])
