"""Reads the rows of a shard, batch by batch."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Literal
from uuid import UUID

import pyarrow as pa

from longshore.shared.datasets.files import check_size
from longshore.shared.datasets.open import notes_of, open_source, with_uses
from longshore.shared.datasets.segments import Segment
from longshore.shared.datasets.source import Source
from longshore.shared.datasets.uses import ColumnUses
from longshore.shared.errors import DataError
from longshore.shared.ledger.records import Claim
from longshore.shared.specs.jobs import FileInput, Input
from longshore.shared.specs.signature import Signature
from longshore.workers.inputs.inline_blocks import InlineBlocks

#: Bytes of float32 in the first batches: enough to keep the cores busy, and few enough to stay in their caches.
BATCH_BYTES = 4 * 2**20
MIN_BATCH_ROWS, MAX_BATCH_ROWS = 32, 8192
#: Bytes of float32 in a window: the rows that are read, prepared and written at a time.
WINDOW_BYTES = 16 * 2**20
MAX_WINDOW_ROWS = 32_768
#: Rows of text in a window. Within a window, rows of similar length share a batch.
TEXT_WINDOW_ROWS = 2048
#: Of how many tokens a long text is taken to be.
TOKENS_OF_TEXT = 512


def default_batch_size(signature: Signature) -> int:
    """Rows in the first forward passes: a power of two that makes about 4 MiB of input; for text, 32."""
    if signature.is_text:
        return MIN_BATCH_ROWS
    return max(MIN_BATCH_ROWS, min(MAX_BATCH_ROWS, _power_of_two(BATCH_BYTES // (4 * max(signature.width, 1)))))


def window_rows(signature: Signature, batch_size: int | Literal["auto"]) -> int:
    """Rows that are read at a time: a multiple of the batch, so that all batches of a shard but the last are full."""
    if signature.task == "tokens":  # the scores of all tokens are kept until the window is written
        numbers = TOKENS_OF_TEXT * (signature.outputs or 1)
        rows = max(MIN_BATCH_ROWS, min(TEXT_WINDOW_ROWS, _power_of_two(WINDOW_BYTES // (4 * numbers))))
    elif signature.is_text:
        rows = TEXT_WINDOW_ROWS
    else:
        numbers = max(signature.width, 1)
        if signature.task == "multilabel":  # every label's score is kept until the window is written
            numbers = max(numbers, signature.outputs or 1)
        rows = max(MIN_BATCH_ROWS, min(MAX_WINDOW_ROWS, _power_of_two(WINDOW_BYTES // (4 * numbers))))
    return rows if batch_size == "auto" else -(-rows // batch_size) * batch_size


def _power_of_two(rows: int) -> int:
    """The largest power of two that is not above ``rows``."""
    return 1 << max(rows.bit_length() - 1, 0)


class Inputs:
    """Reads the rows of shards. Caches the last file and the last blocks for later shards."""

    def __init__(self, blocks: InlineBlocks) -> None:
        self.blocks = blocks
        self._opened: tuple[tuple[UUID, FileInput], Source] | None = None

    def fetch(self, claims: Sequence[Claim]) -> None:
        """Fetch the blocks of many small jobs at once."""
        data = [claim.spec["data"] for claim in claims]
        self.blocks.fetch({str(each["block"]) for each in data if isinstance(each, dict) and "block" in each})

    def batches(
        self, claim: Claim, data: Input, columns: list[str], rows: int, uses: ColumnUses
    ) -> Iterator[pa.RecordBatch]:
        """The shard's rows in order, in batches of at most ``rows``, with only ``columns``.

        :param uses: what the columns of a text file are used for.
        :raises DataError: the file is not what it was when the shard was cut.
        """
        if isinstance(data, FileInput):
            segment = Segment(claim.start, claim.stop, claim.offset, claim.length)
            # Not strict: a value that does not fit its column is an error of its row alone.
            source = self._open(claim.job_id, data, reopen=claim.only_failed)
            yield from with_uses(source, uses).batches(segment, columns, rows, strict=False)
            return
        table = self.blocks.rows(data).slice(claim.start, claim.stop - claim.start)
        for name in columns:
            if name not in table.column_names:
                raise DataError(f"the data has no column {name!r}")
        yield from table.select(columns).combine_chunks().to_batches(max_chunksize=rows)

    def columns(self, claim: Claim, data: Input) -> list[str]:
        """The columns of a job's input."""
        if isinstance(data, FileInput):
            return list(self._open(claim.job_id, data, reopen=False).schema.names)
        return list(self.blocks.rows(data).column_names)

    def notes(self, claim: Claim, data: Input) -> tuple[str, ...]:
        """Notes on the files of a job's input, a sentence each."""
        if not (isinstance(data, FileInput) and data.format == "images"):
            return ()
        return notes_of(self._open(claim.job_id, data, reopen=False))

    def _open(self, job: UUID, data: FileInput, *, reopen: bool) -> Source:
        """Open a file once per job; reopen it when failed rows run again, because it may have been repaired."""
        if reopen:  # a repaired file may have another size
            self._opened = ((job, data), open_source(data.model_copy(update={"size": None})))
        elif self._opened is None or self._opened[0] != (job, data):
            self._opened = ((job, data), open_source(data))
        else:
            check_size(data)
        return self._opened[1]
