"""Rows that came with a call, fetched once for the many jobs that share a block."""

from __future__ import annotations

from collections.abc import Collection
from uuid import UUID

import pyarrow as pa

from longshore.shared.datasets.inline import decode_block
from longshore.shared.errors import DataError
from longshore.shared.ledger.ledger import Ledger
from longshore.shared.specs.jobs import InlineInput
from longshore.shared.store.store import Store


class Blocks:
    """The blocks used last, and where to get others."""

    def __init__(self, ledger: Ledger, store: Store) -> None:
        self._ledger = ledger
        self._store = store
        self._held: dict[str, pa.Table] = {}

    def rows(self, data: InlineInput) -> pa.Table:
        """The rows of one job.

        :raises DataError: the block is not there.
        """
        if data.block not in self._held:
            self.hold([data.block])
        if data.block not in self._held:
            raise DataError(f"the rows that came with the call are gone: there is no input {data.block} in the ledger")
        return self._held[data.block].slice(data.offset, data.rows)

    def hold(self, blocks: Collection[str]) -> None:
        """Fetch blocks at once, and let go of all others. Those that are not there are left out."""
        held = {block: self._held[block] for block in blocks if block in self._held}
        missing = [UUID(block) for block in blocks if block not in held]
        for found in self._ledger.submissions.read_inputs(missing).values() if missing else ():
            content = found.data
            if content is None and found.blob is not None:
                content = self._store.read_blob(found.blob)
            if content is not None:
                held[str(found.id)] = decode_block(content)
        self._held = held
