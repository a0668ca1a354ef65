"""Notes on columns that give the target away, so that the metrics say nothing of rows whose target is unknown."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import numpy.typing as npt

from longshore.shared.specs.signature import Feature, Signature
from longshore.shared.specs.transforms import CategoryTransform
from longshore.workers.train.data.split import Rows
from longshore.workers.train.data.targets import Targets, Values

#: In fewer rows, values and classes can go together by chance.
_FEWEST_ROWS = 50
#: So can they if fewer rows have another target than most: of 60 rows with one fraud, a flag that is set once meets it
#: by chance in one column of 60.
_FEWEST_OTHERS = 5
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
    target = targets.values[rows]
    different, examples, counts = np.unique(target, return_index=True, return_counts=True)
    if len(rows) - counts.max() < _FEWEST_OTHERS:
        return
    is_number = targets.task == "regression"
    position = 0
    for feature in signature.features:
        if _is_single(feature):
            column = matrix[:, position]
            if (
                _equals(column, feature, rows, target, len(different))
                if is_number
                else _tells_classes(column, rows, target, examples)
            ):
                how = "equals the target" if is_number else "has another value for each class"
                yield (
                    f"column {feature.name!r} {how} in all {len(rows):,} rows to train on, so nothing else is learned; "
                    "leave it out of features if it is not known before the target"
                )
        position += feature.size


def _is_single(feature: Feature) -> bool:
    """Whether a column is one number, or one category."""
    single = feature.kind == "number" and feature.width is None and feature.transform is None
    return single or isinstance(feature.transform, CategoryTransform)


def _equals(column: Floats, feature: Feature, rows: Rows, target: Values, different: int) -> bool:
    """Whether a column has the numbers of the target."""
    step = -(-len(rows) // _FIRST_ROWS)
    for part in (slice(None, None, step), slice(None)):
        numbers = column[rows[part]].astype(np.float64) + feature.offset
        if not np.array_equal(numbers.astype(np.float32), target[part]):
            return False
    # Large numbers that differ can be the same as 32-bit floats, of which the targets are.
    return len(np.unique(numbers)) == different


def _tells_classes(column: Floats, rows: Rows, target: Values, examples: Rows) -> bool:
    """Whether a column has one value for each class, and another for each.

    :param examples: where in ``target`` each of its classes occurs.
    """
    values = column[rows[examples]]
    if len(np.unique(values)) < len(values):
        return False
    of_class = np.zeros(int(target.max()) + 1, np.float32)
    of_class[target[examples].astype(np.int64)] = values
    step = -(-len(rows) // _FIRST_ROWS)
    return all(
        np.array_equal(of_class[target[part].astype(np.int64)], column[rows[part]])
        for part in (slice(None, None, step), slice(None))
    )
