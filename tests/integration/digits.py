"""Real images to train and infer with: scikit-learn's bundled digits."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.parquet as pq
from sklearn.datasets import load_digits

#: Numbers in one image of 8 x 8.
WIDTH = 64


def digits() -> tuple[npt.NDArray[np.float32], npt.NDArray[np.int64]]:
    """Images, shape (1797, 64), grey values 0 to 16; and what they show, shape (1797,)."""
    data = load_digits()
    return data.data.astype(np.float32), data.target.astype(np.int64)


def table(rows: npt.NDArray[np.float32], labels: npt.NDArray[np.int64] | None = None) -> pa.Table:
    """Columns ``pixels`` and, where they are given, ``label``."""
    pixels = pa.FixedSizeListArray.from_arrays(np.ascontiguousarray(rows).ravel(), WIDTH)
    return pa.table({"pixels": pixels} if labels is None else {"pixels": pixels, "label": labels})


def write(path: Path, rows: int | None = None) -> Path:
    """The first ``rows`` of them (all by default, or repeated to as many) as Parquet with small row groups."""
    images, labels = digits()
    wanted = np.arange(rows or len(images)) % len(images)
    pq.write_table(table(images[wanted], labels[wanted]), path, row_group_size=1000)
    return path
