"""Columns of the input that are copied to output files."""

from __future__ import annotations

from collections.abc import Sequence

import pyarrow as pa

from longshore.shared.datasets.columns.json_values import is_json, plain_texts
from longshore.shared.datasets.outputs.pattern import OutputFormat, plain


class PassthroughColumns:
    """Gives the columns the same type in every window. Values are not changed.

    A column of a CSV file is text as it is written. A column of a JSON Lines file has JSON texts, which a JSON Lines
    output repeats as they are; in Parquet it is text, with strings decoded. Other formats have types of their own.

    :param names: the columns.
    :param format: the format of the output files.
    """

    def __init__(self, names: Sequence[str], format: OutputFormat) -> None:
        self._names = names
        self._format = format

    def convert(self, window: pa.RecordBatch) -> pa.RecordBatch:
        """A window with the columns as they are written to the output."""
        for name in self._names:
            column = window.column(name)
            column = plain_texts(column) if is_json(column.type) and self._format == "parquet" else plain(column)
            window = window.set_column(window.schema.get_field_index(name), name, column)
        return window
