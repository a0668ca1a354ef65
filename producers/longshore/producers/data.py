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

#: One message of a conversation: ``role``, ``content``, and what else the template of the version knows.
Message: TypeAlias = Mapping[str, object]

#: What text is generated for: data with a column ``prompt`` or ``messages``; or one prompt, a list of prompts, one list
#: of messages, or a list of such lists.
GenerateData: TypeAlias = Data | Sequence[str] | Sequence[Message] | Sequence[Sequence[Message]]

#: Rows and bytes of data that is small: checking and writing it takes no longer than asking Postgres.
SMALL_ROWS = 256
SMALL_BYTES = 1 << 20


def is_small(data: Data) -> bool:
    """Whether data is a few rows in memory, of few bytes. The first of rows that are Python objects tells the bytes."""
    if isinstance(data, Mapping):
        few = all(isinstance(column, Sequence) and len(column) <= SMALL_ROWS for column in data.values())
        columns = [column for column in data.values() if isinstance(column, Sequence) and column]
        return few and sum(len(column) * _weight(column[0]) for column in columns) <= SMALL_BYTES
    if isinstance(data, Sequence):
        if isinstance(data, str) or len(data) > SMALL_ROWS:
            return False
        first = data[0] if data else {}
        values = first.values() if isinstance(first, Mapping) else [first]
        return len(data) * sum(map(_weight, values)) <= SMALL_BYTES
    # Arrays and Arrow's tables have both, frames of pandas only the latter, unless a column has the name of the first.
    size = getattr(data, "nbytes", None)
    shape: tuple[int, ...] = getattr(data, "shape", ())
    return isinstance(size, int) and size <= SMALL_BYTES and len(shape) > 0 and shape[0] <= SMALL_ROWS


def _weight(value: object) -> int:
    """The bytes of a value in a row, roughly."""
    if isinstance(value, str | bytes):
        return len(value)
    size = getattr(value, "nbytes", None)
    if isinstance(size, int):
        return size
    return 8 * len(value) if isinstance(value, Sequence) else 8
