"""An array without column names, split into the columns of a model version."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import pyarrow as pa

from longshore.shared.datasets.columns.arrays import FEATURES, give_names
from longshore.shared.datasets.segments import Segment
from longshore.shared.datasets.source import Source
from longshore.shared.errors import DataError
from longshore.shared.specs.signature import Feature


@dataclass(frozen=True)
class NamedArrays:
    """A source whose only column, ``features``, is split into the columns of a version."""

    source: Source
    features: tuple[Feature, ...]

    @property
    def rows(self) -> int | None:
        return self.source.rows

    @property
    def schema(self) -> pa.Schema:
        return self.head(1).schema

    def head(self, rows: int = 1024) -> pa.RecordBatch:
        return self._named(self.source.head(rows))

    def segments(self, rows_per_shard: int | None) -> list[Segment]:
        return self.source.segments(rows_per_shard)

    def batches(
        self, segment: Segment, columns: Sequence[str], batch_rows: int, strict: bool = True
    ) -> Iterator[pa.RecordBatch]:
        for batch in self.source.batches(segment, [FEATURES], batch_rows, strict):
            yield self._named(batch).select(list(columns))

    def _named(self, batch: pa.RecordBatch) -> pa.RecordBatch:
        width = sum(feature.numbers for feature in self.features)
        kind = batch.schema.field(FEATURES).type
        current_width = kind.list_size if pa.types.is_fixed_size_list(kind) else 1
        if current_width != width:
            raise DataError(f"a row has {current_width} numbers, but had {width} when the job was submitted")
        return give_names(pa.Table.from_batches([batch]), self.features).combine_chunks().to_batches()[0]
