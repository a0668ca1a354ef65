"""Freeing space: everything that is old or that nothing uses, in the database and in the store."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta

from longshore.shared.ledger.ledger import Ledger
from longshore.shared.ledger.retention.removal import Pruned
from longshore.shared.store.store import Store
from longshore.shared.store_gc import StoreSweep, remove_abandoned, sweep


@dataclass(frozen=True, kw_only=True)
class Cleaned:
    """What was removed, or with ``dry_run`` what would be. Sizes are in bytes."""

    dry_run: bool
    #: The results, row errors, logs and inline rows of old jobs; ``None`` if no age was given.
    pruned: Pruned | None
    #: The number of checkpoints from which nothing goes on.
    checkpoints: int
    #: The blobs that nothing refers to, with those of the rows and checkpoints above, and pointers of deleted versions.
    swept: StoreSweep
    #: Files that were being written when a process ended, and their size.
    abandoned: int
    abandoned_bytes: int
    #: Workers that have not reported for a day.
    workers: int
    #: By how much the tables have become smaller; 0 in a dry run. Postgres keeps the space of single rows for new ones.
    database_bytes: int

    @property
    def store_bytes(self) -> int:
        """What is freed in the store."""
        return self.swept.size + self.abandoned_bytes

    @property
    def is_empty(self) -> bool:
        """Whether there is nothing to remove."""
        rows = 0 if self.pruned is None else self.pruned.jobs + self.pruned.inputs
        store = len(self.swept.blobs) + self.swept.pointers + self.abandoned
        return not rows + self.checkpoints + store + self.workers


def clean(ledger: Ledger, store: Store, older_than: timedelta | None, grace: timedelta, *, dry_run: bool) -> Cleaned:
    """Remove what is old or unused. Each step can be repeated, so a clean that was interrupted is called again.

    :param older_than: the age from which jobs are pruned and their checkpoints removed; ``None`` keeps them.
    :param grace: files that were stored within this time stay.
    """
    before = 0 if dry_run else _table_bytes(ledger)
    pruned = None if older_than is None else ledger.pruning.prune(older_than, dry_run=dry_run)
    checkpoints = ledger.pruning.checkpoints(older_than, dry_run=dry_run)
    workers = ledger.workers.forget_silent(dry_run=dry_run)
    swept = sweep(store, ledger, grace=grace, dry_run=dry_run, released=_released(ledger, pruned, checkpoints, dry_run))
    abandoned = remove_abandoned(store, swept.before, dry_run=dry_run)
    return Cleaned(
        dry_run=dry_run,
        pruned=pruned,
        checkpoints=len(checkpoints),
        swept=swept,
        abandoned=len(abandoned),
        abandoned_bytes=sum(file.size for file in abandoned),
        workers=workers,
        database_bytes=0 if dry_run else max(before - _table_bytes(ledger), 0),
    )


def _released(
    ledger: Ledger, pruned: Pruned | None, checkpoints: list[tuple[str, int]], dry_run: bool
) -> frozenset[str]:
    """The blobs that the rows and checkpoints have which a dry run would remove, and no version."""
    if not dry_run:
        return frozenset()
    named = {*([] if pruned is None else pruned.blobs), *(blob for blob, _ in checkpoints)}
    return frozenset(named - ledger.space.version_blobs()) if named else frozenset()


def _table_bytes(ledger: Ledger) -> int:
    return sum(ledger.space.tables().values())
