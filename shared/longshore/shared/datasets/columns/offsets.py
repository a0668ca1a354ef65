"""Finds columns whose differences float32 would lose, and the offsets with which it does not."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from longshore.shared.datasets.columns.column import Doubles
from longshore.shared.datasets.columns.nested_lists import flatten, unwrap
from longshore.shared.datasets.columns.number_texts import to_numbers
from longshore.shared.datasets.columns.types import is_list, is_number, is_text
from longshore.shared.datasets.columns.utf8 import valid_texts
from longshore.shared.specs.signature import Feature
from longshore.shared.specs.transforms import NumberTransform

#: Rows, and numbers of lists, in the sample of a column.
SAMPLE_ROWS, _SAMPLE_NUMBERS = 4096, 1 << 20
#: The largest rounding error of float32, relative to the spread of a column, that needs no offset: if all values are
#: float32 numbers, so that only their mean is rounded, and otherwise.
_MAX_ERROR, _MAX_INEXACT_ERROR = 1e-4, 1e-6
#: Below this share of distinct values that remain, the loss is noted. Few random numbers become equal in 32 bits.
_MIN_REMAINING = 0.95


def with_offsets(features: Sequence[Feature], sample: pa.RecordBatch) -> tuple[Feature, ...]:
    """The features, with offsets for the columns that need one: the middle of their values in ``sample``.

    A column needs one if the rounding of float32 is coarse compared to the spread of its values, as for seconds since
    1970. Of lists, each position is a column. Other columns stay as they are, and are as fast.

    :param sample: some rows, :data:`SAMPLE_ROWS` or about as many.
    """
    return tuple(
        feature.model_copy(
            # Logarithms and scores are small numbers, from which no offset must be subtracted.
            update={"offsets": None if _is_scaled(feature) else _offsets(_doubles(sample, feature))}
        )
        for feature in features
    )


def lost_values(features: Sequence[Feature], sample: pa.RecordBatch) -> Iterator[str]:
    """A note for each column of numbers of which different values become the same float32 number."""
    for feature in features:
        if _is_scaled(feature):
            continue  # scaled in 64 bits, so that only what is equal then is lost
        values = _doubles(sample, feature)
        away = values - np.array(feature.offsets or (0.0,))
        rounded = _rounded(away)
        if (rounded == away).all():
            continue
        for position in range(values.shape[1]):
            before, after = len(np.unique(values[:, position])), len(np.unique(rounded[:, position]))
            if after < _MIN_REMAINING * before:
                where = "" if feature.width is None else f" at position {position}"
                yield (
                    f"column {feature.name!r}{where} has {before} different values in {len(values)} rows, and {after} "
                    "as 32-bit floats, in which the network computes; subtract a constant from the column, or split it"
                )
                break


def sample_rows(table: pa.Table, features: Sequence[Feature]) -> pa.RecordBatch:
    """The columns of some rows of a table that are, or can be, numbers, evenly spaced; it has at least one row."""
    count = min(table.num_rows, SAMPLE_ROWS)
    places = pa.array((np.arange(count) * table.num_rows) // count)
    names = list(dict.fromkeys(feature.name for feature in features if feature.kind in ("number", "category")))
    columns = [table[name].take(places).combine_chunks() for name in names]
    return pa.RecordBatch.from_arrays(columns, names)


def _doubles(sample: pa.RecordBatch, feature: Feature) -> Doubles:
    """The finite rows of a column of numbers, ``(n, size)``; none if it has something else."""
    none: Doubles = np.empty((0, feature.numbers))
    if feature.kind != "number":
        return none
    array = unwrap(sample.column(feature.name))
    if feature.width is not None:
        if not is_list(array.type):
            return none
        lists = flatten(array.slice(0, max(1, _SAMPLE_NUMBERS // feature.width)))
        if lists.has_null.any() or (np.diff(lists.offsets) != feature.width).any():
            return none  # the conversion of the rows says which is bad
        array = lists.values
    elif is_text(array.type):
        array = to_numbers(valid_texts(array)).values
    elif not is_number(array.type):
        return none
    try:
        values = array.drop_null().cast(pa.float64(), safe=False).to_numpy(zero_copy_only=False)
    except (pa.ArrowInvalid, pa.ArrowNotImplementedError):  # not numbers, as the conversion of the rows says
        return none
    rows: Doubles = values.reshape(-1, feature.numbers)
    return rows[np.isfinite(rows).all(axis=1)]


def _is_scaled(feature: Feature) -> bool:
    return isinstance(feature.transform, NumberTransform) and feature.transform.scale != "none"


def _offsets(values: Doubles) -> tuple[float, ...] | None:
    if not len(values):
        return None
    low, middle, high = np.quantile(values, (0.25, 0.5, 0.75), axis=0, method="nearest")
    with np.errstate(over="ignore", invalid="ignore"):
        spread = np.where(high > low, high - low, values.std(axis=0))
    # The first rows of a sorted stream can all have one value. The spread of the others is then unknown.
    spread = np.where(spread == 0, 1.0, spread)
    error = np.abs(middle) * float(np.finfo(np.float32).epsneg)
    exact = (_rounded(values) == values).all(axis=0)
    needed = error > np.where(exact, _MAX_ERROR, _MAX_INEXACT_ERROR) * spread
    return tuple(np.where(needed, middle, 0.0).tolist()) if needed.any() else None


def _rounded(values: Doubles) -> npt.NDArray[np.float32]:
    with np.errstate(over="ignore"):
        rounded: npt.NDArray[np.float32] = values.astype(np.float32)
    return rounded
