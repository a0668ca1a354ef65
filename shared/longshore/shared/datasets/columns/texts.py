"""Converts a batch of rows to the texts that are a model's input."""

from __future__ import annotations

from dataclasses import dataclass

import pyarrow as pa

from longshore.shared.datasets.columns.json_values import is_json, plain_texts
from longshore.shared.datasets.columns.nested_lists import unwrap
from longshore.shared.datasets.columns.types import is_text, type_name
from longshore.shared.errors import DataError
from longshore.shared.specs.signature import Signature


@dataclass(frozen=True)
class Texts:
    """The texts of n rows. The text of a bad row is empty."""

    values: list[str]
    #: Index of each bad row in the batch, with an error that names the column.
    errors: dict[int, str]


def to_texts(batch: pa.RecordBatch, signature: Signature) -> Texts:
    """The only feature of a version that reads texts. A null makes its row bad; an empty text does not.

    :raises DataError: the column is missing or does not have text.
    """
    [feature] = signature.features
    if feature.name not in batch.schema.names:
        raise DataError(f"the data has no column {feature.name!r}")
    column = batch.column(feature.name)
    column = plain_texts(column) if is_json(column.type) else unwrap(column)
    if pa.types.is_null(column.type):
        column = column.cast(pa.string())
    if not is_text(column.type):
        raise DataError(f"column {feature.name!r} has {type_name(column.type)}, not text")
    values = _decoded(column)
    errors = {
        row: f"column {feature.name!r}: {'null' if value is None else 'not UTF-8'}"
        for row, value in enumerate(values)
        if not isinstance(value, str)
    }
    return Texts([value if isinstance(value, str) else "" for value in values], errors)


def _decoded(column: pa.Array) -> list[object]:
    """Strings, ``None`` for null, and bytes for values that are not valid UTF-8."""
    try:
        values: list[object] = column.to_pylist()
    except UnicodeDecodeError:
        values = []
        for scalar in column.cast(pa.large_binary()).to_pylist():
            try:
                values.append(None if scalar is None else scalar.decode())
            except UnicodeDecodeError:
                values.append(scalar)
    return values
