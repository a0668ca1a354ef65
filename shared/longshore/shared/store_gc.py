"""Garbage collection of the store: removes blobs that nothing refers to any more.

A blob is referenced by a version of a model, in the store or in the ledger, by a job that can still run, by a block of
inline rows, by an uploaded file, by a part of an upload, or by a batch that has not ended. A reference may not be
committed yet, so only blobs that were last stored before a grace period are removed. Any new kind of reference must be
added to :func:`referenced_blobs`.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Final

from longshore.shared.errors import CorruptBlob, InvalidInput
from longshore.shared.ledger.ledger import Ledger
from longshore.shared.store.blobs import StoredFile
from longshore.shared.store.manifest import Blob
from longshore.shared.store.store import Store

#: The default grace period: long enough for any submission or training to commit references to the blobs it stored.
GRACE: Final = timedelta(days=1)
#: The shortest grace period: in object stores, a blob that is stored again is refreshed at most once an hour.
MIN_GRACE: Final = timedelta(hours=2)
_DIGEST = re.compile(r"sha256:[0-9a-f]{64}")


@dataclass(frozen=True, kw_only=True)
class StoreSweep:
    """The blobs that a sweep removed, or would remove with ``dry_run``."""

    dry_run: bool
    #: Only blobs that were last stored before this time were considered.
    before: datetime
    blobs: Sequence[Blob] = ()
    #: How many pointers of deleted versions there were.
    pointers: int = 0

    @property
    def size(self) -> int:
        """Total size in bytes."""
        return sum(blob.size for blob in self.blobs)


def sweep(
    store: Store,
    ledger: Ledger,
    *,
    grace: timedelta = GRACE,
    dry_run: bool = False,
    only: Collection[str] | None = None,
    released: Collection[str] = (),
) -> StoreSweep:
    """Remove the blobs that nothing refers to. No other ledger may use the store.

    :param grace: blobs stored more recently are kept. Default: one day; at least two hours.
    :param dry_run: remove nothing, only report. Default: false.
    :param only: the digests to consider. Default: all.
    :param released: for a dry run, digests that count as unreferenced, because what names them is about to be removed.
    :raises InvalidInput: ``grace`` is under two hours.
    :raises CorruptBlob: a version's manifest or pointer cannot be read, so its references are unknown; nothing was
        removed.
    """
    before = datetime.now(UTC) - check_grace(grace)
    # The order matters: references to blobs that are stored and committed after the first step are seen by the second.
    old = [blob for blob in store.old_blobs(before) if only is None or blob.digest in only]
    referenced = referenced_blobs(store, ledger) if old else set()
    referenced -= set(released)
    garbage = [blob for blob in old if blob.digest not in referenced]
    pointers = deleted_pointers(store, ledger)
    if not dry_run:
        for name, version in pointers:
            store.delete_version_pointer(name, version)
        garbage = [blob for blob in garbage if store.delete_old_blob(blob.digest, before)]
    return StoreSweep(dry_run=dry_run, before=before, blobs=garbage, pointers=len(pointers))


def check_grace(grace: timedelta) -> timedelta:
    """:raises InvalidInput: a grace period is under two hours."""
    if grace < MIN_GRACE:
        hours = grace / timedelta(hours=1)
        raise InvalidInput("grace", f"{hours:g}h is too short for jobs that are being submitted now; give 2h or more")
    return grace


def remove_abandoned(store: Store, before: datetime, *, dry_run: bool) -> list[StoredFile]:
    """Remove files that were being written when a process ended, or report them with ``dry_run``.

    :param before: files that were written later stay: somebody may be writing them.
    """
    abandoned = list(store.old_temporary_files(before))
    return abandoned if dry_run else [file for file in abandoned if store.delete_old_file(file.path, before)]


def deleted_pointers(store: Store, ledger: Ledger) -> list[tuple[str, int]]:
    """Versions that were deleted, but are still in the store, because the process ended that deleted them."""
    deleted = ledger.models.deleted()
    return [(name, version) for name, version, digest in store.list_versions() if (name, version, digest) in deleted]


def referenced_blobs(store: Store, ledger: Ledger) -> set[str]:
    """The digests of all blobs that something refers to.

    :raises CorruptBlob: a version's manifest or pointer cannot be read.
    """
    referenced = ledger.queries.named_blobs()
    deleted = ledger.models.deleted()
    for digest in {pointer[2] for pointer in store.list_versions() if pointer not in deleted}:
        referenced |= {digest, *_digests(store.read_blob(digest))}
    for digest in ledger.queries.digests_of_jobs() - referenced:
        try:
            referenced |= {digest, *_digests(store.read_blob(digest))}
        except CorruptBlob:
            referenced.add(digest)  # its version was deleted and its manifest is lost: no job can run with it
    return referenced


def _digests(manifest: bytes) -> Iterator[str]:
    """Every digest in a manifest, whichever release of Longshore wrote it."""
    return (match.group() for match in _DIGEST.finditer(manifest.decode()))
