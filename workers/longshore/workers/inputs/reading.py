"""The rows of a shard, batch by batch."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Literal
from uuid import UUID

import pyarrow as pa

from longshore.shared.datasets.files import check_size
from longshore.shared.datasets.open import open_source
from longshore.shared.datasets.segments import Segment
from longshore.shared.datasets.source import Source
from longshore.shared.errors import DataError
from longshore.shared.ledger.records import Claim
from longshore.shared.specs.jobs import FileInput, Input
from longshore.shared.specs.signature import Signature
from longshore.workers.inputs.inline_blocks import Blocks

#: Bytes of float32 that one batch takes to begin with: enough to keep the cores busy, and little enough to stay in
#: their caches.
BATCH_BYTES = 4 * 2**20
SMALLEST_BATCH, LARGEST_BATCH = 32, 8192
#: Bytes of float32 in a window, which is what is read, prepared and written at a time.
WINDOW_BYTES = 16 * 2**20
LARGEST_WINDOW = 32_768
#: Rows of text in a window: among these, rows of like length are put together.
TEXT_WINDOW = 2048


def default_batch_size(signature: Signature) -> int:
    """Rows in one forward pass to begin with: a power of two that makes about 4 MiB of input; of text, 32."""
    if signature.is_text:
        return SMALLEST_BATCH
    return max(SMALLEST_BATCH, min(LARGEST_BATCH, _power(BATCH_BYTES // (4 * max(signature.width, 1)))))


def window_rows(signature: Signature, batch_size: int | Literal["auto"]) -> int:
    """Rows that are read at a time: some batches, so that all but the last of a shard are full."""
    if signature.is_text:
        rows = TEXT_WINDOW
    else:
        numbers = max(signature.width, 1)
        if signature.task == "multilabel":  # of which every label's score is kept until the window is written
            numbers = max(numbers, signature.outputs or 1)
        rows = max(SMALLEST_BATCH, min(LARGEST_WINDOW, _power(WINDOW_BYTES // (4 * numbers))))
    return rows if batch_size == "auto" else -(-rows // batch_size) * batch_size


def _power(rows: int) -> int:
    """The power of two that is next below."""
    return 1 << max(rows.bit_length() - 1, 0)


class Inputs:
    """Where the rows of shards come from. Remembers the last file and the last block, for the shards that follow."""

    def __init__(self, blocks: Blocks) -> None:
        self.blocks = blocks
        self._opened: tuple[tuple[UUID, FileInput], Source] | None = None

    def hold(self, claims: Sequence[Claim]) -> None:
        """Fetch the blocks of many small jobs at once."""
        data = [claim.spec["data"] for claim in claims]
        self.blocks.hold({str(each["block"]) for each in data if isinstance(each, dict) and "block" in each})

    def batches(self, claim: Claim, data: Input, columns: list[str], rows: int) -> Iterator[pa.RecordBatch]:
        """The shard's rows in order, in batches of at most ``rows``, with ``columns`` alone.

        :raises DataError: the file is not what it was when the shard was cut.
        """
        if isinstance(data, FileInput):
            segment = Segment(claim.start, claim.stop, claim.offset, claim.length)
            # Not strict: a value that does not fit its column is its row's error and no other's.
            yield from self._open(claim.job_id, data, anew=claim.only_failed).batches(
                segment, columns, rows, strict=False
            )
            return
        table = self.blocks.rows(data).slice(claim.start, claim.stop - claim.start)
        for name in columns:
            if name not in table.column_names:
                raise DataError(f"the data has no column {name!r}")
        yield from table.select(columns).combine_chunks().to_batches(max_chunksize=rows)

    def schema(self, claim: Claim, data: Input) -> pa.Schema:
        """All columns of a job's input, of one type throughout.

        :raises DataError: the file is not what it was when the shard was cut.
        """
        if isinstance(data, FileInput):
            return self._open(claim.job_id, data, anew=False).schema
        return self.blocks.rows(data).schema

    def _open(self, job: UUID, data: FileInput, *, anew: bool) -> Source:
        """By job: a file that was replaced between two jobs, or mended for failed rows to run again, is opened anew."""
        if anew:  # what was mended may have another size
            self._opened = ((job, data), open_source(data.model_copy(update={"size": None})))
        elif self._opened is None or self._opened[0] != (job, data):
            self._opened = ((job, data), open_source(data))
        else:
            check_size(data)
        return self._opened[1]
