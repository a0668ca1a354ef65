"""Removing blobs that nothing names any more.

A blob is named by a version of a model, in the store or in the ledger, by a job that can still run, or by a block of
inline rows. What will name it may not be committed yet: so only blobs are removed that were last put before a grace.
Whatever else comes to name blobs must be added to :func:`named_blobs`.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Final

from longshore.shared.errors import CorruptBlob, InvalidInput
from longshore.shared.ledger.ledger import Ledger
from longshore.shared.store.manifest import Blob
from longshore.shared.store.store import Store

#: What a blob must have been in the store for; long enough for any submission or training to commit what it has put.
GRACE: Final = timedelta(days=1)
#: The shortest that can be asked for: blobs in object stores count as put again only after an hour.
SHORTEST_GRACE: Final = timedelta(hours=2)
_DIGEST = re.compile(r"sha256:[0-9a-f]{64}")


@dataclass(frozen=True, kw_only=True)
class Swept:
    """The blobs that were removed, or with ``dry_run``, that would be."""

    dry_run: bool
    #: Blobs last put before this moment were looked at.
    before: datetime
    blobs: Sequence[Blob] = ()

    @property
    def size(self) -> int:
        """Bytes, of all of them."""
        return sum(blob.size for blob in self.blobs)


def sweep(
    store: Store,
    ledger: Ledger,
    *,
    grace: timedelta = GRACE,
    dry_run: bool = False,
    only: Collection[str] | None = None,
) -> Swept:
    """Remove the blobs that nothing names. The store must belong to this ledger alone.

    :param only: the digests to look at; all by default.
    :raises InvalidInput: ``grace`` is under two hours.
    :raises CorruptBlob: a version's manifest or pointer cannot be read, so that what it names is not known; nothing
        was removed.
    """
    if grace < SHORTEST_GRACE:
        raise InvalidInput("grace", f"{grace} is too short for what is being submitted now; give 2h or more")
    before = datetime.now(UTC) - grace
    # In this order: what was put and committed after the first step is known in the second.
    old = [blob for blob in store.old_blobs(before) if only is None or blob.digest in only]
    named = named_blobs(store, ledger) if old else set()
    found = [blob for blob in old if blob.digest not in named]
    if not dry_run:
        found = [blob for blob in found if store.delete_old_blob(blob.digest, before)]
    return Swept(dry_run=dry_run, before=before, blobs=found)


def named_blobs(store: Store, ledger: Ledger) -> set[str]:
    """The digests of all blobs that something names.

    :raises CorruptBlob: a version's manifest or pointer cannot be read.
    """
    named = ledger.queries.named_blobs()
    for digest in {digest for _, _, digest in store.list_versions()}:
        named |= {digest, *_digests(store.read_blob(digest))}
    for digest in ledger.queries.digests_of_jobs() - named:
        try:
            named |= {digest, *_digests(store.read_blob(digest))}
        except CorruptBlob:
            named.add(digest)  # its version was deleted, and is lost: no job can run with it
    return named


def _digests(manifest: bytes) -> Iterator[str]:
    """Every digest in a manifest, whichever release of Longshore has written it."""
    return (match.group() for match in _DIGEST.finditer(manifest.decode()))
