"""From a batch of rows to the texts that a model reads."""

from __future__ import annotations

from dataclasses import dataclass

import pyarrow as pa

from longshore.shared.datasets.columns.nested_lists import unwrap
from longshore.shared.datasets.columns.types import is_text, type_name
from longshore.shared.errors import DataError
from longshore.shared.specs.signature import Signature


@dataclass(frozen=True)
class Texts:
    """A batch of n rows. Rows that cannot be used are empty."""

    values: list[str]
    #: Row in the batch to what is wrong with it, naming the column.
    errors: dict[int, str]


def to_texts(batch: pa.RecordBatch, signature: Signature) -> Texts:
    """The one column of a version that reads texts. A null makes its row bad; an empty text does not.

    :raises DataError: the column is missing, or holds something else than text.
    """
    [feature] = signature.features
    if feature.name not in batch.schema.names:
        raise DataError(f"the data has no column {feature.name!r}")
    column = unwrap(batch.column(feature.name))
    if pa.types.is_null(column.type):
        column = column.cast(pa.string())
    if not is_text(column.type):
        raise DataError(f"column {feature.name!r} holds {type_name(column.type)}, not text")
    given = _decoded(column)
    errors = {
        row: f"column {feature.name!r}: {'null' if value is None else 'not UTF-8'}"
        for row, value in enumerate(given)
        if not isinstance(value, str)
    }
    return Texts([value if isinstance(value, str) else "" for value in given], errors)


def _decoded(column: pa.Array) -> list[object]:
    """Strings, ``None`` for null, and bytes where a file calls text what is none."""
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
