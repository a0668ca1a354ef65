"""Columns of the input that are copied to output files."""

from __future__ import annotations

from collections.abc import Sequence

import pyarrow as pa

from longshore.shared.datasets.outputs.pattern import plain
from longshore.shared.specs.validation import shorten


class PassthroughColumns:
    """Gives the columns the same type in every window.

    The types of a text file's columns are inferred from its first block; a column is text where a value does not fit.

    :param schema: of the whole input.
    """

    def __init__(self, schema: pa.Schema, names: Sequence[str]) -> None:
        self._types = {name: schema.field(name).type for name in names}

    def fit(self, window: pa.RecordBatch, errors: dict[int, str]) -> pa.RecordBatch:
        """Cast the columns of a window to their types; a row whose value does not fit is added to ``errors``."""
        for name, kind in self._types.items():
            column = window.column(name)
            if column.type != kind:
                column, misfits = _cast(column, kind)
                for row in misfits:
                    errors.setdefault(
                        row,
                        f"column {name!r}: {shorten(column[row].as_py())} is not {kind}, and the job keeps this column",
                    )
                column = _emptied(column, misfits).cast(kind)
            index = window.schema.get_field_index(name)
            window = window.set_column(index, name, plain(column))
        return window


def _cast(column: pa.Array, kind: pa.DataType) -> tuple[pa.Array, list[int]]:
    """The column, and the rows that cannot be cast. Checks row by row only if the whole column cannot be cast."""
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
