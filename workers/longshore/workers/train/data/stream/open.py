"""Opens the streams that a spec names."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import pyarrow as pa

from longshore.shared.datasets.open import open_source
from longshore.shared.datasets.segments import Segment
from longshore.shared.datasets.source import Source
from longshore.shared.datasets.uses import ColumnUses
from longshore.shared.specs.jobs import FileInput, Input
from longshore.shared.specs.train import TrainSpec
from longshore.workers.inputs.inline_blocks import InlineBlocks
from longshore.workers.train.data.stream.reader import StreamSource, cut_runs
from longshore.workers.train.data.stream.settled import settle_targets, with_reading
from longshore.workers.train.data.stream.splitting import (
    TEST,
    VALIDATION,
    ColumnSplitter,
    ConstantSplitter,
    HashSplitter,
    Splitter,
)
from longshore.workers.train.data.tables import uses_of


def open_streams(spec: TrainSpec, blocks: InlineBlocks) -> list[StreamSource]:
    """The stream of ``spec.data``, then those of held-out rows from other sources.

    :raises DataError: a file cannot be read, or is not what it was at submission.
    :raises InvalidInput: the targets of a text file are neither all numbers nor all labels.
    """
    uses = uses_of(spec)
    data, notes = settle_targets(open_source_of(spec.data, blocks, uses), spec)
    uses = uses.like(data.schema)
    streams = [StreamSource("data", data, cut_runs(data), splitter_of(spec), notes)]
    kind = data.schema.field(spec.target).type if spec.target in data.schema.names else None
    for name, held_out, part in (("validation", spec.validation, VALIDATION), ("test", spec.test, TEST)):
        if not isinstance(held_out, float):
            source = with_reading(open_source_of(held_out, blocks, uses), spec.target, kind, f" of {name}")
            streams.append(StreamSource(name, source, cut_runs(source), ConstantSplitter(part)))
    return streams


def splitter_of(spec: TrainSpec) -> Splitter:
    """How the rows of ``spec.data`` are split."""
    if spec.split is not None:
        return ColumnSplitter(spec.split)
    validation, test = (part if isinstance(part, float) else 0.0 for part in (spec.validation, spec.test))
    return HashSplitter(validation, test, spec.seed)


def open_source_of(data: Input, blocks: InlineBlocks, uses: ColumnUses) -> Source:
    """Open a file, or rows that came with the call.

    :raises DataError: a file cannot be read, or is not what it was at submission.
    """
    return open_source(data, uses=uses) if isinstance(data, FileInput) else TableSource(blocks.rows(data))


@dataclass(frozen=True)
class TableSource:
    """Rows in memory, read like those of a file: see :class:`~longshore.shared.datasets.source.Source`."""

    table: pa.Table

    @property
    def schema(self) -> pa.Schema:
        """The schema of the table."""
        return self.table.schema

    @property
    def rows(self) -> int:
        """The number of rows."""
        return int(self.table.num_rows)

    def head(self, rows: int = 1024) -> pa.RecordBatch:
        """The first rows."""
        return self.table.slice(0, rows).combine_chunks().to_batches()[0]

    def segments(self, rows_per_shard: int | None) -> list[Segment]:
        """All rows in one run."""
        return [Segment(0, self.rows)]

    def batches(
        self, segment: Segment, columns: Sequence[str], batch_rows: int, strict: bool = True
    ) -> Iterator[pa.RecordBatch]:
        """The rows of a run, in order."""
        rows = self.table.select(list(columns)).slice(segment.start, segment.rows)
        yield from rows.combine_chunks().to_batches(max_chunksize=batch_rows)
