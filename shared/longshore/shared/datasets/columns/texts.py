"""Converts a batch of rows to the texts that are a model's input."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import pyarrow as pa

from longshore.shared.datasets.columns.json_values import is_json, plain_texts
from longshore.shared.datasets.columns.nested_lists import unwrap
from longshore.shared.datasets.columns.types import is_text, type_name
from longshore.shared.errors import DataError
from longshore.shared.specs.signature import Feature


@dataclass(frozen=True)
class Texts:
    """The texts of n rows. The text of a bad row is empty."""

    values: list[str]
    #: Index of each bad row in the batch, with the reason.
    errors: dict[int, str]


def to_texts(batch: pa.RecordBatch, feature: Feature) -> Texts:
    """A column of texts. A null makes its row bad; an empty text does not.

    :raises DataError: the column is missing or does not have text.
    """
    if feature.name not in batch.schema.names:
        raise DataError(f"the data has no column {feature.name!r}")
    texts = to_strings(batch.column(feature.name), feature.name)
    return Texts(texts.values, {row: f"column {feature.name!r}: {reason}" for row, reason in texts.errors.items()})


def to_strings(column: pa.Array, name: str) -> Texts:
    """The texts of a column, with errors that do not name it.

    :param name: the column in an error.
    :raises DataError: the column does not have text.
    """
    column = plain_texts(column) if is_json(column.type) else unwrap(column)
    if pa.types.is_null(column.type):
        column = column.cast(pa.string())
    if not is_text(column.type):
        raise DataError(f"column {name!r} has {type_name(column.type)}, not text")
    values = _decoded(column)
    errors = {
        row: "null" if value is None else "not UTF-8" for row, value in enumerate(values) if not isinstance(value, str)
    }
    return Texts([value if isinstance(value, str) else "" for value in values], errors)


def text_errors(batch: pa.RecordBatch, features: Iterable[Feature]) -> dict[int, str]:
    """The first error of each bad row of some columns of texts, by its index in the batch.

    :raises DataError: a column is missing or does not have text.
    """
    errors: dict[int, str] = {}
    for feature in features:
        errors = to_texts(batch, feature).errors | errors
    return errors


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
