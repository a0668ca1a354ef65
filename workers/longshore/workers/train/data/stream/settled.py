"""Converts the targets of a text file, after one pass over them has told what they are."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import pyarrow as pa

from longshore.shared.datasets.columns.written_targets import (
    Reading,
    WrittenTargets,
    is_written,
    read_written,
    reading_of,
)
from longshore.shared.datasets.open import is_text_file
from longshore.shared.datasets.segments import Segment
from longshore.shared.datasets.source import Source
from longshore.shared.specs.train import TrainSpec

#: Rows read at a time.
_ROWS = 65_536
_TYPES: dict[Reading, pa.DataType] = {
    "integers": pa.int64(),
    "booleans": pa.bool_(),
    "numbers": pa.float64(),
    "text": pa.string(),
}


def settle_targets(source: Source, spec: TrainSpec) -> tuple[Source, tuple[str, ...]]:
    """The same rows with targets of one type, and notes on how they were read. Reads the target column of a text file.

    :raises InvalidInput: the targets are neither all numbers nor all labels.
    """
    name = spec.target
    if not _is_written(source, name):
        return source, ()
    written = WrittenTargets(name, spec.task)
    for segment in source.segments(None):
        for batch in source.batches(segment, [name], _ROWS):
            written.add(batch.column(name))
    note = written.note()
    return SettledSource(source, name, written.reading()), () if note is None else (note,)


def with_reading(source: Source, name: str, kind: pa.DataType | None, where: str) -> Source:
    """The same rows with targets that are read like those of the training rows.

    :param kind: the type of the targets of the training rows.
    :param where: follows the row number in an error, as in ``" of validation"``.
    """
    if kind is None or not _is_written(source, name):
        return source
    return SettledSource(source, name, reading_of(kind), where)


def _is_written(source: Source, name: str) -> bool:
    return is_text_file(source) and name in source.schema.names and is_written(source.schema.field(name).type)


@dataclass(frozen=True)
class SettledSource:
    """A text file whose targets are converted: see :class:`~longshore.shared.datasets.source.Source`."""

    source: Source
    target: str
    reading: Reading
    #: Follows the row number in an error.
    where: str = ""

    @property
    def schema(self) -> pa.Schema:
        """The schema, with the settled type of the target."""
        schema = self.source.schema
        return schema.set(schema.get_field_index(self.target), pa.field(self.target, _TYPES[self.reading]))

    @property
    def rows(self) -> int | None:
        """The number of rows."""
        return self.source.rows

    def head(self, rows: int = 1024) -> pa.RecordBatch:
        """The first rows."""
        return self._converted(self.source.head(rows), 0)

    def segments(self, rows_per_shard: int | None) -> list[Segment]:
        """See :class:`~longshore.shared.datasets.source.Source`."""
        return self.source.segments(rows_per_shard)

    def batches(
        self, segment: Segment, columns: Sequence[str], batch_rows: int, strict: bool = True
    ) -> Iterator[pa.RecordBatch]:
        """See :class:`~longshore.shared.datasets.source.Source`.

        :raises InvalidInput: a target is not of the settled type; names its row.
        """
        row = segment.start
        for batch in self.source.batches(segment, columns, batch_rows, strict):
            yield self._converted(batch, row) if self.target in columns else batch
            row += batch.num_rows

    def _converted(self, batch: pa.RecordBatch, row: int) -> pa.RecordBatch:
        index = batch.schema.get_field_index(self.target)
        values = read_written(batch.column(index), self.reading, self.target, row, self.where)
        return batch.set_column(index, self.target, values)
