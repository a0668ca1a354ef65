"""Rows that came with a call, fetched once for the many jobs that share a block."""

from __future__ import annotations

from uuid import UUID

import pyarrow as pa

from longshore.shared.datasets.inline import decode_block
from longshore.shared.errors import DataError
from longshore.shared.jobs import InlineInput
from longshore.shared.ledger.ledger import Ledger
from longshore.shared.store.store import Store


class Blocks:
    """The block used last, and where to get others."""

    def __init__(self, ledger: Ledger, store: Store) -> None:
        self._ledger = ledger
        self._store = store
        self._held: tuple[str, pa.Table] | None = None

    def rows(self, data: InlineInput) -> pa.Table:
        """The rows of one job.

        :raises DataError: the block is not there.
        """
        if self._held is None or self._held[0] != data.block:
            self._held = (data.block, self._fetch(data.block))
        return self._held[1].slice(data.offset, data.rows)

    def _fetch(self, block: str) -> pa.Table:
        content, blob = self._ledger.submissions.read_input(UUID(block))
        if content is None and blob is not None:
            content = self._store.read_blob(blob)
        if content is None:
            raise DataError(f"the rows that came with the call are gone: there is no input {block} in the ledger")
        return decode_block(content)
