"""Columns of the input that go into output files."""

from __future__ import annotations

from collections.abc import Sequence

import pyarrow as pa

from longshore.shared.datasets.outputs.pattern import plain
from longshore.shared.specs.validation import shorten


class KeptColumns:
    """Gives kept columns the same type in every window.

    A text file's columns have the types that its first block suggests, and come as text where a value does not fit.

    :param schema: of the whole input.
    """

    def __init__(self, schema: pa.Schema, names: Sequence[str]) -> None:
        self._wanted = {name: schema.field(name).type for name in names}

    def fit(self, window: pa.RecordBatch, errors: dict[int, str]) -> pa.RecordBatch:
        """The window with kept columns of their types; a row whose value is of another one is added to ``errors``."""
        for name, kind in self._wanted.items():
            column = window.column(name)
            if column.type != kind:
                column, misfits = _cast(column, kind)
                for row in misfits:
                    errors.setdefault(row, f"column {name!r}: {shorten(column[row].as_py())} is no {kind}, and is kept")
                column = _emptied(column, misfits).cast(kind)
            place = window.schema.get_field_index(name)
            window = window.set_column(place, name, plain(column))
        return window


def _cast(column: pa.Array, kind: pa.DataType) -> tuple[pa.Array, list[int]]:
    """The column, and the rows that cannot be cast. Only a window in which one cannot is looked at row by row."""
    try:
        column.cast(kind)
    except pa.ArrowInvalid:
        return column, [row for row in range(len(column)) if not _fits(column.slice(row, 1), kind)]
    return column, []


def _fits(value: pa.Array, kind: pa.DataType) -> bool:
    try:
        value.cast(kind)
    except pa.ArrowInvalid:
        return False
    return True


def _emptied(column: pa.Array, rows: Sequence[int]) -> pa.Array:
    """The column with nulls in some rows."""
    if not rows:
        return column
    misfit = set(rows)
    return pa.array([None if row in misfit else value.as_py() for row, value in enumerate(column)], column.type)
