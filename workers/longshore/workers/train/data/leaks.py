"""Notes on columns that give the target away, so that the metrics say nothing of rows whose target is unknown."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import numpy.typing as npt

from longshore.shared.specs.signature import Feature, Signature
from longshore.shared.specs.transforms import CategoryTransform
from longshore.workers.train.data.split import Rows
from longshore.workers.train.data.targets import Targets

#: In fewer rows, values and classes can go together by chance.
_FEWEST_ROWS = 50
#: Rows that are compared first, evenly spaced: they tell most columns from the target.
_FIRST_ROWS = 100

Floats = npt.NDArray[np.float32]


def leak_notes(matrix: Floats, rows: Rows, signature: Signature, targets: Targets) -> Iterator[str]:
    """Yield a note for each column that is as good as the target: equal numbers, or one value for each class.

    :param matrix: before it is standardised, float32 ``(n, width)``.
    :param rows: the rows to train on.
    """
    if len(rows) < _FEWEST_ROWS or targets.task not in ("classification", "regression") or targets.values.ndim > 1:
        return
    varies = len(np.unique(targets.values[rows])) > 1
    position = 0
    for feature in signature.features:
        if varies and _is_single(feature):
            column = matrix[:, position]
            if all(
                _tells(column[some], feature, targets, some) for some in (rows[:: -(-len(rows) // _FIRST_ROWS)], rows)
            ):
                how = "equals the target" if targets.task == "regression" else "has another value for each class"
                yield (
                    f"column {feature.name!r} {how} in all {len(rows):,} rows to train on, so nothing else is learned; "
                    "leave it out of features if it is not known before the target"
                )
        position += feature.size


def _is_single(feature: Feature) -> bool:
    """Whether a column is one number, or one category."""
    single = feature.kind == "number" and feature.width is None and feature.transform is None
    return single or isinstance(feature.transform, CategoryTransform)


def _tells(column: Floats, feature: Feature, targets: Targets, rows: Rows) -> bool:
    target = targets.values[rows]
    if targets.task == "regression":
        numbers = column.astype(np.float64) + feature.offset
        # Large numbers that differ can be the same as 32-bit floats, of which the targets are.
        is_exact = len(np.unique(numbers)) == len(np.unique(target))
        return is_exact and np.array_equal(numbers.astype(np.float32), target)
    pairs = np.unique(np.stack([column, target]), axis=1)
    return bool(len(np.unique(column)) == len(np.unique(target)) == len(pairs.T))
