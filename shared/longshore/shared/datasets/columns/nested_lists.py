"""The numbers below lists, however deep, and which of them belong to which row."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from longshore.shared.datasets.columns.types import is_list


@dataclass(frozen=True)
class Leaves:
    """Row i of n holds ``values[offsets[i]:offsets[i + 1]]``."""

    #: An Arrow array that holds no lists, of any type.
    values: pa.Array
    #: Shape (n + 1,).
    offsets: npt.NDArray[np.int64]
    #: Shape (n,): rows that are null.
    null: npt.NDArray[np.bool_]
    #: Shape (n,): rows that hold a null, at whatever depth.
    holed: npt.NDArray[np.bool_]


def flatten(array: pa.Array) -> Leaves:
    """Take the lists off a column, without looking at single rows."""
    array = unwrap(array)
    rows = len(array)
    offsets = np.arange(rows + 1, dtype=np.int64)
    null = nulls(array)
    holed = np.zeros(rows, np.bool_)
    while is_list(array.type):
        array, below = _below(array)
        offsets = below[offsets]
        if array.null_count:
            before = np.concatenate([[0], np.cumsum(nulls(array))])
            holed |= before[offsets[1:]] > before[offsets[:-1]]
    return Leaves(array, offsets, null, holed)


def unwrap(array: pa.Array) -> pa.Array:
    """The same values without extension types and dictionaries."""
    while True:
        if isinstance(array, pa.ExtensionArray):
            array = array.storage
        elif pa.types.is_dictionary(array.type):
            array = array.dictionary_decode()
        else:
            return array


def nulls(array: pa.Array) -> npt.NDArray[np.bool_]:
    """Shape (n,): which values are null."""
    if not array.null_count:
        return np.zeros(len(array), np.bool_)
    return np.asarray(pc.is_null(array).to_numpy(zero_copy_only=False), np.bool_)


def _below(array: pa.Array) -> tuple[pa.Array, npt.NDArray[np.int64]]:
    """The values of all lists one after another, and where each list begins in them (and the last one ends)."""
    if pa.types.is_fixed_size_list(array.type):
        width = array.type.list_size
        offsets = (np.arange(len(array) + 1, dtype=np.int64) + array.offset) * width
    elif pa.types.is_list_view(array.type) or pa.types.is_large_list_view(array.type):
        lengths = pc.fill_null(pc.list_value_length(array), 0).to_numpy()
        return unwrap(array.flatten()), np.concatenate([[0], np.cumsum(lengths)])  # views may lie in any order
    else:
        offsets = array.offsets.to_numpy().astype(np.int64) if len(array) else np.zeros(1, np.int64)
    # A slice of a column still refers to the values of all of it.
    first, last = int(offsets[0]), int(offsets[-1])
    return unwrap(array.values.slice(first, last - first)), offsets - first
