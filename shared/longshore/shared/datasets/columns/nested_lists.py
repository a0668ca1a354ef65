"""Flattens columns of nested lists, and maps the values back to rows."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from longshore.shared.datasets.columns.types import is_list, is_opaque


@dataclass(frozen=True)
class NestedLists:
    """A flattened column of n rows: row i has the values ``values[offsets[i]:offsets[i + 1]]``."""

    #: The innermost values: an Arrow array of any type but lists.
    values: pa.Array
    #: Shape (n + 1,).
    offsets: npt.NDArray[np.int64]
    #: Shape (n,): whether the row is null.
    is_null: npt.NDArray[np.bool_]
    #: Shape (n,): whether the row contains a null at any depth.
    has_null: npt.NDArray[np.bool_]


def flatten(array: pa.Array) -> NestedLists:
    """Flatten a column of lists of any depth. Vectorised: no Python code runs per row."""
    array = unwrap(array)
    rows = len(array)
    offsets = np.arange(rows + 1, dtype=np.int64)
    is_null = nulls(array)
    has_null = np.zeros(rows, np.bool_)
    while is_list(array.type):
        array, inner_offsets = _unnest(array)
        offsets = inner_offsets[offsets]
        if array.null_count:
            before = np.concatenate([[0], np.cumsum(nulls(array))])
            has_null |= before[offsets[1:]] > before[offsets[:-1]]
    return NestedLists(array, offsets, is_null, has_null)


def unwrap(array: pa.Array) -> pa.Array:
    """The same values without extension types and dictionaries; opaque values as they are."""
    while True:
        if is_opaque(array.type):
            return array
        if isinstance(array, pa.ExtensionArray):
            array = array.storage
        elif pa.types.is_dictionary(array.type):
            array = array.dictionary_decode()
        else:
            return array


def nulls(array: pa.Array) -> npt.NDArray[np.bool_]:
    """Which values are null; shape (n,)."""
    if not array.null_count:
        return np.zeros(len(array), np.bool_)
    return np.asarray(pc.is_null(array).to_numpy(zero_copy_only=False), np.bool_)


def _unnest(array: pa.Array) -> tuple[pa.Array, npt.NDArray[np.int64]]:
    """The concatenated values of all lists, and the n + 1 offsets at which each list begins and the last one ends."""
    if pa.types.is_fixed_size_list(array.type):
        width = array.type.list_size
        offsets = (np.arange(len(array) + 1, dtype=np.int64) + array.offset) * width
    elif pa.types.is_list_view(array.type) or pa.types.is_large_list_view(array.type):
        lengths = pc.fill_null(pc.list_value_length(array), 0).to_numpy()
        return unwrap(array.flatten()), np.concatenate([[0], np.cumsum(lengths)])  # list views can be in any order
    else:
        offsets = array.offsets.to_numpy().astype(np.int64) if len(array) else np.zeros(1, np.int64)
    # A slice of a column still refers to the values of the whole column.
    first, last = int(offsets[0]), int(offsets[-1])
    return unwrap(array.values.slice(first, last - first)), offsets - first
