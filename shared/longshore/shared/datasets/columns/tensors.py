"""Converts a batch of rows to the input tensors of a version."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from longshore.shared.datasets.columns.matrix import to_matrix
from longshore.shared.datasets.columns.texts import to_strings
from longshore.shared.datasets.columns.typed_numbers import TypedColumn, convert_typed
from longshore.shared.datasets.columns.types import type_name
from longshore.shared.errors import DataError
from longshore.shared.specs.signature import Feature, Signature

Tensor = npt.NDArray[np.generic]


@dataclass(frozen=True)
class Tensors:
    """The inputs of n rows. Bad rows do not affect good rows."""

    #: By input, see ``Signature.inputs``: shape (n, width), C-contiguous, of the type of its features; texts as
    #: objects. May be read-only.
    values: dict[str | None, Tensor]
    #: Index of each bad row in the batch, with an error that names the column.
    errors: dict[int, str]
    #: Remarks on the rows for the owner of the job.
    notes: tuple[str, ...] = ()


def to_tensors(batch: pa.RecordBatch, signature: Signature) -> Tensors:
    """The features of a batch of n rows, concatenated for each input in the signature's order.

    Columns of float32 without missing values are converted as :func:`to_matrix` does, all others as
    :func:`convert_typed` does.

    :raises DataError: a column is missing or has the wrong type.
    :raises InvalidInput: there are images and the package pillow is not installed.
    """
    if all(feature.input is None and _is_plain(feature) for feature in signature.features):
        matrix = to_matrix(batch, signature)
        return Tensors({None: matrix.values}, matrix.errors, tuple(matrix.notes))
    values: dict[str | None, Tensor] = {}
    errors: dict[int, str] = {}
    notes: dict[str, None] = {}
    for name, features in signature.inputs.items():
        if all(map(_is_plain, features)):
            matrix = to_matrix(batch, signature.model_copy(update={"features": features}))
            values[name], reasons = matrix.values, matrix.errors
            notes |= dict.fromkeys(matrix.notes)
        else:
            values[name], reasons = _typed(batch, features)
        errors = {**reasons, **errors}
    return Tensors(values, dict(sorted(errors.items())), tuple(notes))


def _is_plain(feature: Feature) -> bool:
    """Whether a column is one of a float32 matrix."""
    return feature.dtype in (None, "float32") and feature.missing is None


def _typed(batch: pa.RecordBatch, features: Sequence[Feature]) -> tuple[Tensor, dict[int, str]]:
    errors: dict[int, str] = {}
    columns = []
    for feature in features:
        column = _column(batch, feature)
        columns.append(column.values)
        for row, reason in column.errors.items():
            errors.setdefault(row, f"column {feature.name!r}: {reason}")
    return np.ascontiguousarray(columns[0]) if len(columns) == 1 else np.concatenate(columns, axis=1), errors


def _column(batch: pa.RecordBatch, feature: Feature) -> TypedColumn:
    if feature.name not in batch.schema.names:
        raise DataError(f"the data has no column {feature.name!r}")
    array = batch.column(feature.name)
    if feature.dtype == "string":
        texts = to_strings(array, feature.name)
        errors = {row: reason for row, reason in texts.errors.items() if feature.missing is None or array[row].is_valid}
        return TypedColumn(np.array(texts.values, object)[:, None], errors)
    try:
        return convert_typed(array, feature, np.dtype(feature.dtype or "float32"))
    except TypeError:
        expected = "numbers" if feature.width is None else f"lists of {feature.width} numbers"
        raise DataError(f"column {feature.name!r} has {type_name(array.type)}, not {expected}") from None
