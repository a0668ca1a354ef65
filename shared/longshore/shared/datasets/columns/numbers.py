"""One column of a batch as float32, with the rows that cannot be."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from longshore.shared.datasets.columns.nested_lists import Leaves, flatten, nulls, unwrap
from longshore.shared.datasets.columns.types import is_list, is_number, is_text
from longshore.shared.specs.signature import Feature
from longshore.shared.specs.validation import shorten

Floats = npt.NDArray[np.float32]


@dataclass(frozen=True)
class Column:
    """Shape (n, size) of numbers; rows in ``errors`` are zero there, with the reason. May be read-only."""

    values: Floats
    errors: dict[int, str]


def convert(array: pa.Array, feature: Feature) -> Column:
    """:raises TypeError: no row of the column can be what the feature asks for."""
    plain = unwrap(array)
    if feature.width is not None and is_list(plain.type):
        leaves = flatten(plain)
        if is_number(leaves.values.type):
            return _lists(leaves, feature.width)
    elif feature.width is None and is_text(plain.type):
        return _texts(plain)
    elif feature.width is None and is_number(plain.type):
        return _numbers(plain)
    raise TypeError(f"holds {array.type}")


def to_floats(array: pa.Array) -> Floats:
    """Numbers, without nulls, as float32, shape (n,): the same memory where they are that already."""
    return np.asarray(_as_floats(array).to_numpy(zero_copy_only=True))


def _as_floats(array: pa.Array) -> pa.Array:
    if array.type == pa.float32():
        return array
    if pa.types.is_decimal(array.type):  # goes to float32 only by way of float64
        array = array.cast(pa.float64())
    return array.cast(pa.float32(), safe=False)


def _numbers(array: pa.Array) -> Column:
    if not array.null_count:
        return Column(to_floats(array)[:, None], {})
    missing = np.flatnonzero(nulls(array))
    return Column(to_floats(_filled(array))[:, None], dict.fromkeys(missing.tolist(), "null"))


def _texts(array: pa.Array) -> Column:
    """Text that spells numbers. Only a batch in which some does not is looked at row by row."""
    try:
        return _numbers(array.cast(pa.float64()))
    except pa.ArrowInvalid:
        pass
    values, errors = np.zeros((len(array), 1), np.float32), {}
    for row, text in enumerate(array.to_pylist()):
        try:
            with np.errstate(over="ignore"):
                values[row] = float(text.replace("_", "?"))  # Python takes 1_000 for a number; nobody else does
        except AttributeError:
            errors[row] = "null"
        except ValueError:
            errors[row] = f"{shorten(text)} is not a number"
    return Column(values, errors)


def _lists(leaves: Leaves, width: int) -> Column:
    lengths = np.diff(leaves.offsets)
    bad = leaves.null | leaves.holed | (lengths != width)
    if not bad.any():
        return Column(to_floats(leaves.values).reshape(-1, width), {})
    numbers = to_floats(_filled(leaves.values))
    values = np.zeros((len(bad), width), np.float32)
    good = np.flatnonzero(~bad)
    if len(good):
        values[good] = numbers[leaves.offsets[good][:, None] + np.arange(width)]
    errors = {}
    for row in np.flatnonzero(bad).tolist():
        if leaves.null[row]:
            errors[row] = "null"
        elif leaves.holed[row]:
            errors[row] = "a null in the list"
        else:
            errors[row] = f"a list of length {lengths[row]}, not {width}"
    return Column(values, errors)


def _filled(array: pa.Array) -> pa.Array:
    """Zero instead of null."""
    if pa.types.is_null(array.type):
        return pa.array(np.zeros(len(array), np.float32))
    return pc.fill_null(_as_floats(array), 0.0) if array.null_count else array
