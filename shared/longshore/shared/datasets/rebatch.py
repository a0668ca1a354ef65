"""Regroups tables of any size into batches of a fixed size."""

from __future__ import annotations

from collections.abc import Iterator

import pyarrow as pa


def rebatch(tables: Iterator[pa.Table], batch_rows: int) -> Iterator[pa.RecordBatch]:
    """The same rows in batches of ``batch_rows``; smaller only at the end, and where the types of columns change."""
    pending: list[pa.Table] = []
    rows = 0
    for table in tables:
        if pending and pending[0].schema != table.schema:
            yield from _batches(pending, rows, batch_rows)
            pending, rows = [], 0
        pending.append(table)
        rows += table.num_rows
        if rows >= batch_rows:
            joined = pa.concat_tables(pending)
            full = rows // batch_rows * batch_rows
            yield from _batches([joined.slice(0, full)], full, batch_rows)
            pending, rows = [joined.slice(full)], rows - full
    yield from _batches(pending, rows, batch_rows)


def _batches(tables: list[pa.Table], rows: int, batch_rows: int) -> Iterator[pa.RecordBatch]:
    if rows:
        yield from pa.concat_tables(tables).combine_chunks().to_batches(batch_rows)
