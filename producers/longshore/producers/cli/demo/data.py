"""The data of the demo: images of handwritten digits, 8 by 8 pixels, from the UCI repository via scikit-learn.

https://scikit-learn.org/stable/datasets/toy_dataset.html#digits-dataset
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

#: The fraction of images that are not used for training.
HELD_OUT_FRACTION = 0.2
SEED = 7


@dataclass(frozen=True)
class Digits:
    """Two files with the columns ``pixels`` (64 numbers, 0 to 16) and ``label`` (a string)."""

    train: Path
    held_out: Path
    train_rows: int
    #: The labels of the held-out rows, in their order.
    labels: list[str]


def write_digits(folder: Path) -> Digits:
    """Write both files. Their content is always the same."""
    from sklearn.datasets import load_digits

    images = load_digits()
    pixels = np.asarray(images.data, dtype=np.float32)
    labels = np.asarray(images.target)
    order = np.random.default_rng(SEED).permutation(len(labels))
    count = int(len(labels) * HELD_OUT_FRACTION)
    train, held_out = order[count:], order[:count]
    digits = Digits(
        train=folder / "digits-train.parquet",
        held_out=folder / "digits-held-out.parquet",
        train_rows=len(train),
        labels=[str(label) for label in labels[held_out]],
    )
    for path, rows in ((digits.train, train), (digits.held_out, held_out)):
        column = pa.FixedSizeListArray.from_arrays(pa.array(pixels[rows].reshape(-1)), pixels.shape[1])
        pq.write_table(pa.table({"pixels": column, "label": pa.array([str(label) for label in labels[rows]])}), path)
    return digits
