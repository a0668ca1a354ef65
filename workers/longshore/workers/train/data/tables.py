"""Reads the rows of a training job into memory."""

from __future__ import annotations

from dataclasses import dataclass

import pyarrow as pa

from longshore.shared.datasets.columns.written_targets import (
    Reading,
    WrittenTargets,
    is_written,
    read_written,
    reading_of,
)
from longshore.shared.datasets.open import is_text_file, notes_of, open_source
from longshore.shared.datasets.uses import ColumnUses
from longshore.shared.specs.jobs import FileInput, Input
from longshore.shared.specs.train import TrainSpec
from longshore.workers.inputs.inline_blocks import InlineBlocks
from longshore.workers.train.data.dataset import Tables

#: Rows read at a time.
READ_ROWS = 65_536


@dataclass(frozen=True)
class _Rows:
    """The rows that one field of a spec names."""

    table: pa.Table
    #: Whether the target is as it is written in a text file, so that it must still be converted.
    written: bool


def read_tables(spec: TrainSpec, blocks: InlineBlocks) -> Tables:
    """Read the rows that ``spec`` names.

    :raises DataError: a file cannot be read, or is not what it was at submission.
    :raises InvalidInput: the targets of a text file are neither all numbers nor all labels.
    """
    notes: list[str] = []
    uses = uses_of(spec)
    data = _read(spec.data, columns_of(spec), spec, blocks, notes, uses)
    names = columns_of(spec) or data.table.schema.names
    uses = uses.like(data.table.schema)
    held_out = {
        field: _read(part, names, spec, blocks, notes, uses)
        for field, part in (("validation", spec.validation), ("test", spec.test))
        if not isinstance(part, float)
    }
    table = data.table
    if data.written:
        written = WrittenTargets(spec.target, spec.task)
        for chunk in table[spec.target].chunks:
            written.add(chunk)
        note = written.note()
        notes += [] if note is None else [note]
        table = _with_target(table, spec.target, written.reading())
    tables = {
        field: _with_target(part.table, spec.target, reading_of(table.schema.field(spec.target).type), f" of {field}")
        if part.written
        else part.table
        for field, part in held_out.items()
    }
    return Tables(table, tables.get("validation"), tables.get("test"), tuple(notes))


def columns_of(spec: TrainSpec) -> list[str] | None:
    """The columns that ``spec`` names; ``None`` if it uses all columns."""
    if spec.features is None:
        return None
    return [*spec.features, spec.target, *([] if spec.split is None else [spec.split])]


def uses_of(spec: TrainSpec) -> ColumnUses:
    """What ``spec`` uses the columns of a text file for."""
    return ColumnUses.for_training(
        spec.target, spec.features, spec.split, texts=spec.tokenizer is not None, preprocess=spec.preprocess
    )


def _read(
    data: Input, names: list[str] | None, spec: TrainSpec, blocks: InlineBlocks, notes: list[str], uses: ColumnUses
) -> _Rows:
    """Read the rows of one argument; notes on its files are appended to ``notes``."""
    if not isinstance(data, FileInput):
        return _Rows(blocks.rows(data), written=False)
    source = open_source(data, uses=uses)
    notes += notes_of(source)
    columns = source.schema.names if names is None else [name for name in names if name in source.schema.names]
    schema = pa.schema([source.schema.field(name) for name in columns], metadata=source.schema.metadata)
    batches = [batch for segment in source.segments(None) for batch in source.batches(segment, columns, READ_ROWS)]
    table = pa.Table.from_batches(batches, schema=schema)
    return _Rows(table, is_text_file(source) and spec.target in columns and is_written(table[spec.target].type))


def _with_target(table: pa.Table, name: str, reading: Reading, where: str = "") -> pa.Table:
    chunks, row = [], 0
    for chunk in table[name].chunks:
        chunks.append(read_written(chunk, reading, name, row, where))
        row += len(chunk)
    return table.set_column(table.schema.get_field_index(name), name, pa.chunked_array(chunks))
