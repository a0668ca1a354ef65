"""The rows of a shard, batch by batch."""

from __future__ import annotations

from collections.abc import Iterator
from uuid import UUID

import pyarrow as pa

from longshore.shared.datasets.segments import Segment
from longshore.shared.datasets.source import Source, open_source
from longshore.shared.jobs import FileInput, Input
from longshore.shared.ledger.records import Claim
from longshore.shared.signature import Signature
from longshore.workers.inference.blocks import Blocks

#: Bytes of float32 that one batch takes when no batch size is given: enough to keep the cores busy, and little enough
#: to stay in their caches.
BATCH_BYTES = 4 * 2**20
SMALLEST_BATCH, LARGEST_BATCH = 32, 8192


def default_batch_size(signature: Signature) -> int:
    """Rows in one forward pass where nothing is said: a power of two that makes about 4 MiB of input."""
    rows = BATCH_BYTES // (4 * max(signature.width, 1))
    return max(SMALLEST_BATCH, min(LARGEST_BATCH, 1 << max(rows.bit_length() - 1, 0)))


class Inputs:
    """Where the rows of shards come from. Remembers the last file and the last block, for the shards that follow."""

    def __init__(self, blocks: Blocks) -> None:
        self.blocks = blocks
        self._opened: tuple[tuple[UUID, FileInput], Source] | None = None

    def batches(self, claim: Claim, data: Input, columns: list[str], rows: int) -> Iterator[pa.RecordBatch]:
        """The shard's rows in order, in batches of at most ``rows``, with ``columns`` alone.

        :raises DataError: the file is not what it was when the shard was cut.
        """
        if isinstance(data, FileInput):
            segment = Segment(claim.start, claim.stop, claim.offset, claim.length)
            # Not strict: a value that does not fit its column is its row's error and no other's.
            yield from self._open(claim.job_id, data).batches(segment, columns, rows, strict=False)
            return
        table = self.blocks.rows(data).slice(claim.start, claim.stop - claim.start)
        yield from table.select(columns).combine_chunks().to_batches(max_chunksize=rows)

    def _open(self, job: UUID, data: FileInput) -> Source:
        """By job: a file that was replaced between two jobs is opened anew."""
        if self._opened is None or self._opened[0] != (job, data):
            self._opened = ((job, data), open_source(data))
        return self._opened[1]
