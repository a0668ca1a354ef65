"""The type of the data that the methods of the client take."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from os import PathLike
from typing import TYPE_CHECKING, TypeAlias, Union

if TYPE_CHECKING:
    import numpy as np
    import pandas as pd
    import pyarrow as pa

#: A path or URI of a file, or rows: a list of dict, a dict of columns, a NumPy array whose first axis counts rows, an
#: Arrow table or a pandas frame. The values are any that Arrow can convert.
Data: TypeAlias = Union[
    str,
    "PathLike[str]",
    Sequence[Mapping[str, object]],
    Mapping[str, object],
    "np.ndarray[tuple[int, ...], np.dtype[np.generic]]",
    "pa.Table",
    "pa.RecordBatch",
    "pd.DataFrame",
]

#: Rows and, for arrays, bytes of data that is small: checking and writing it takes no longer than asking Postgres.
SMALL_ROWS = 256
SMALL_BYTES = 1 << 20


def is_small(data: Data) -> bool:
    """Whether data is a few rows in memory, surely."""
    if isinstance(data, Mapping):
        return all(isinstance(column, Sequence) and len(column) <= SMALL_ROWS for column in data.values())
    if isinstance(data, Sequence):
        return not isinstance(data, str) and len(data) <= SMALL_ROWS
    # Arrays and Arrow's tables have both, frames of pandas only the latter.
    size: int = getattr(data, "nbytes", SMALL_BYTES + 1)
    shape: tuple[int, ...] = getattr(data, "shape", ())
    return size <= SMALL_BYTES and len(shape) > 0 and shape[0] <= SMALL_ROWS
