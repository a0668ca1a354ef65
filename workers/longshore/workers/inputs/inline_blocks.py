"""Reads inline rows. A block that many jobs share is fetched once."""

from __future__ import annotations

from collections.abc import Collection
from uuid import UUID

import pyarrow as pa

from longshore.shared.datasets.inline import decode_block
from longshore.shared.errors import DataError
from longshore.shared.ledger.ledger import Ledger
from longshore.shared.specs.jobs import InlineInput
from longshore.shared.store.store import Store


class InlineBlocks:
    """Caches the blocks used last, and fetches others."""

    def __init__(self, ledger: Ledger, store: Store) -> None:
        self._ledger = ledger
        self._store = store
        self._blocks: dict[str, pa.Table] = {}

    def rows(self, data: InlineInput) -> pa.Table:
        """The rows of one job.

        :raises DataError: the block does not exist.
        """
        if data.block not in self._blocks:
            self.fetch([data.block])
        if data.block not in self._blocks:
            raise DataError(f"the inline rows are gone: there is no input {data.block} in the ledger")
        return self._blocks[data.block].slice(data.offset, data.rows)

    def fetch(self, blocks: Collection[str]) -> None:
        """Fetch blocks in one query, and drop all others. Skip blocks that do not exist."""
        fetched = {block: self._blocks[block] for block in blocks if block in self._blocks}
        missing = [UUID(block) for block in blocks if block not in fetched]
        for record in self._ledger.submissions.read_inputs(missing).values() if missing else ():
            content = record.data
            if content is None and record.blob is not None:
                content = self._store.read_blob(record.blob)
            if content is not None:
                fetched[str(record.id)] = decode_block(content)
        self._blocks = fetched
