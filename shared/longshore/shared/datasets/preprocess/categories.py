"""Categories as codes."""

from __future__ import annotations

import re

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from longshore.shared.datasets.columns.column import Column
from longshore.shared.datasets.columns.json_values import is_json, plain_texts
from longshore.shared.datasets.columns.nested_lists import unwrap
from longshore.shared.datasets.columns.number_texts import FALSE_WORDS, TRUE_WORDS, are_words
from longshore.shared.datasets.columns.types import is_number, is_text, stored
from longshore.shared.datasets.columns.utf8 import valid_texts
from longshore.shared.specs.transforms import CategoryTransform

#: Below 2^53 a whole number is exact as a float.
_EXACT = 2.0**53
#: A whole number with a fraction of zeros.
_ZEROS = r"^(-?[0-9]+)\.0+$"

_WHOLE = re.compile("-?[0-9]+")

_Codes = npt.NDArray[np.int64]


def encode_categories(array: pa.Array, transform: CategoryTransform) -> Column:
    """The code of each category, ``(n, 1)``: see :class:`CategoryTransform`. No row is bad.

    :raises TypeError: the column has neither texts, booleans nor numbers.
    """
    texts = category_texts(array)
    known = pa.array(transform.categories, pa.large_string())
    codes = _positions(texts, known) + 1
    missing = pc.is_null(texts).to_numpy(zero_copy_only=False)
    unknown = np.flatnonzero((codes == 0) & ~missing)
    if len(unknown):
        # Other formats can write the same value in another way.
        codes[unknown] = _positions(_usual(texts.take(pa.array(unknown))), _usual(known)) + 1
        unknown = unknown[codes[unknown] == 0]
    if transform.missing:
        codes[missing] = len(transform.categories) + 1
    note = None
    if len(unknown):
        note = "has categories that no row to train on had, or too few; the network gets them as unknown"
    elif missing.any() and not transform.missing:
        note = "has missing values, and no row to train on had; the network gets them as unknown"
    return Column(codes.astype(np.float32)[:, None], note=note)


def category_codes(transform: CategoryTransform) -> dict[str, int]:
    """The code of each text that is a category, for programs that look texts up.

    With other ways to write a category: those that :func:`encode_categories` knows, except for fractions of more than
    one zero. An empty text is a missing category.
    """
    codes = {category: code for code, category in enumerate(transform.categories, 1)}
    usual = _usual(pa.array(transform.categories, pa.large_string())).to_pylist()
    for code, text in enumerate(usual, 1):
        words = {"true": TRUE_WORDS, "false": FALSE_WORDS}.get(text, (text,))
        for word in (*words, f"{text}.0") if _WHOLE.fullmatch(text) else words:
            codes.setdefault(word, code)
    return codes | ({"": transform.codes} if transform.missing else {})


def category_texts(array: pa.Array) -> pa.Array:
    """The categories as text, ``large_string``. Null, NaN and empty text are null; 1.0 is the category 1.

    Bytes that are not UTF-8 become the replacement character.

    :raises TypeError: the column has neither texts, booleans nor numbers.
    """
    array = plain_texts(array) if is_json(array.type) else unwrap(array)
    if pa.types.is_floating(array.type) or pa.types.is_decimal(array.type):
        return _whole(array)
    if is_text(array.type):
        texts = valid_texts(array.cast(pa.large_string()))
        return pc.if_else(pc.equal(texts, ""), pa.scalar(None, texts.type), texts)
    if not is_number(array.type):
        raise TypeError(f"has the type {array.type}")
    return array.cast(pa.large_string())


def is_category(kind: pa.DataType) -> bool:
    """Whether the values of a column can be categories, besides text."""
    return is_number(stored(kind))


def _positions(texts: pa.Array, known: pa.Array) -> _Codes:
    """The position of each text among ``known``, the first if it is there several times, or -1; ``(n,)``."""
    found: _Codes = pc.index_in(texts, value_set=known, skip_nulls=True).fill_null(-1).to_numpy().astype(np.int64)
    return found


def _usual(texts: pa.Array) -> pa.Array:
    """The texts as Arrow writes such values: a frame of pandas writes true as ``True``, and 1 as ``1.0``."""
    texts = pc.if_else(are_words(texts, TRUE_WORDS), "true", texts)
    texts = pc.if_else(are_words(texts, FALSE_WORDS), "false", texts)
    return pc.replace_substring_regex(texts, _ZEROS, r"\1").cast(pa.large_string())


def _whole(array: pa.Array) -> pa.Array:
    """Numbers as text, whole ones without a fraction: pandas makes floats of integers if one is missing."""
    doubles = array.cast(pa.float64())
    doubles = pc.if_else(pc.is_nan(doubles), None, doubles)
    whole = pc.and_(pc.equal(pc.trunc(doubles), doubles), pc.less(pc.abs(doubles), _EXACT))
    integers = pc.if_else(whole, doubles, 0.0).cast(pa.int64())
    # The type of the column decides how many digits a number has: 0.1 of 32 bits is not 0.1 of 64.
    texts = pc.if_else(pc.is_null(doubles), pa.scalar(None, pa.large_string()), array.cast(pa.large_string()))
    return pc.if_else(whole, integers.cast(pa.large_string()), texts)
