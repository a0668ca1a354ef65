"""Reads the rows of a training job into memory."""

from __future__ import annotations

import pyarrow as pa

from longshore.shared.datasets.open import notes_of, open_source
from longshore.shared.specs.jobs import FileInput, Input
from longshore.shared.specs.train import TrainSpec
from longshore.workers.inputs.inline_blocks import InlineBlocks
from longshore.workers.train.data.dataset import Tables

#: Rows read at a time.
READ_ROWS = 65_536


def read_tables(spec: TrainSpec, blocks: InlineBlocks) -> Tables:
    """Read the rows that ``spec`` names.

    :raises DataError: a file cannot be read, or is not what it was at submission.
    """
    notes: list[str] = []
    data = _read(spec.data, columns_of(spec), blocks, notes)
    names = columns_of(spec) or data.schema.names
    held_out = [None if isinstance(part, float) else part for part in (spec.validation, spec.test)]
    validation, test = (None if part is None else _read(part, names, blocks, notes) for part in held_out)
    return Tables(data, validation, test, tuple(notes))


def columns_of(spec: TrainSpec) -> list[str] | None:
    """The columns that ``spec`` names; ``None`` if it uses all columns."""
    if spec.features is None:
        return None
    return [*spec.features, spec.target, *([] if spec.split is None else [spec.split])]


def _read(data: Input, names: list[str] | None, blocks: InlineBlocks, notes: list[str]) -> pa.Table:
    """Read the rows of one argument; notes on its files are appended to ``notes``."""
    if not isinstance(data, FileInput):
        return blocks.rows(data)
    source = open_source(data)
    notes += notes_of(source)
    columns = source.schema.names if names is None else [name for name in names if name in source.schema.names]
    schema = pa.schema([source.schema.field(name) for name in columns], metadata=source.schema.metadata)
    batches = [batch for segment in source.segments(None) for batch in source.batches(segment, columns, READ_ROWS)]
    return pa.Table.from_batches(batches, schema=schema)
