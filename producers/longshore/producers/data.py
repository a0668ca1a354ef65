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
