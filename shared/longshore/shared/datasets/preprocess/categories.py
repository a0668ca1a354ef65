"""Categories as codes."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from longshore.shared.datasets.columns.json_values import is_json, plain_texts
from longshore.shared.datasets.columns.nested_lists import unwrap
from longshore.shared.datasets.columns.types import is_number, is_text, stored
from longshore.shared.datasets.preprocess.encoded import EncodedColumn
from longshore.shared.specs.transforms import CategoryTransform

#: Below 2^53 a whole number is exact as a float.
_EXACT = 2.0**53


def encode_categories(array: pa.Array, transform: CategoryTransform) -> EncodedColumn:
    """The code of each category, ``(n, 1)``: see :class:`CategoryTransform`. No row is bad.

    :raises TypeError: the column has neither texts, booleans nor numbers.
    """
    texts = category_texts(array)
    known = pc.index_in(texts, value_set=pa.array(transform.categories, pa.large_string()), skip_nulls=True)
    codes = known.fill_null(-1).to_numpy(zero_copy_only=False) + 1
    missing = pc.is_null(texts).to_numpy(zero_copy_only=False)
    unknown = bool(((codes == 0) & ~missing).any())
    if transform.missing:
        codes[missing] = len(transform.categories) + 1
    note = None
    if unknown:
        note = "has categories that no row to train on had, or too few; the network gets them as unknown"
    elif missing.any() and not transform.missing:
        note = "has missing values, and no row to train on had; the network gets them as unknown"
    return EncodedColumn(codes.astype(np.float32)[:, None], note=note)


def category_texts(array: pa.Array) -> pa.Array:
    """The categories as text, ``large_string``. Null, NaN and empty text are null; 1.0 is the category 1.

    :raises TypeError: the column has neither texts, booleans nor numbers.
    """
    array = plain_texts(array) if is_json(array.type) else unwrap(array)
    if pa.types.is_floating(array.type):
        array = _whole(array)
    if is_text(array.type):
        # By bytes, since texts that are not UTF-8 can be categories, too.
        empty = pc.equal(pc.binary_length(array), 0)
        array = pc.if_else(empty, pa.scalar(None, array.type), array)
    elif not is_number(array.type):
        raise TypeError(f"has the type {array.type}")
    return array.cast(pa.large_string())


def is_category(kind: pa.DataType) -> bool:
    """Whether the values of a column can be categories, besides text."""
    return is_number(stored(kind))


def _whole(array: pa.Array) -> pa.Array:
    """Floats as text, and whole numbers without a fraction: pandas makes floats of integers if one is missing."""
    values = pc.if_else(pc.is_nan(array), pa.scalar(None, array.type), array)
    doubles = values.cast(pa.float64())
    whole = pc.and_(pc.equal(pc.trunc(doubles), doubles), pc.less(pc.abs(doubles), _EXACT))
    integers = pc.if_else(whole, doubles, 0.0).cast(pa.int64())
    return pc.if_else(whole, integers.cast(pa.large_string()), values.cast(pa.large_string()))
