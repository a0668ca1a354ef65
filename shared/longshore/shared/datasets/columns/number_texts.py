"""Reads texts as numbers, each by its own characters alone, with the rules of Arrow's CSV reader."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

#: Words for a missing number: those of ``pyarrow.csv.ConvertOptions``.
NULL_WORDS = (
    *("", "#N/A", "#N/A N/A", "#NA", "-1.#IND", "-1.#QNAN", "-NaN", "-nan", "1.#IND"),
    *("1.#QNAN", "N/A", "NA", "NULL", "NaN", "n/a", "nan", "null"),
)
TRUE_WORDS = ("true", "True", "TRUE")
FALSE_WORDS = ("false", "False", "FALSE")
#: White space around a number, which is ignored.
_SPACE = " \t"
_NUMBER = r"^[+-]?([0-9]+\.?[0-9]*|\.[0-9]+)([eE][+-]?[0-9]+)?$"
_NOT_FINITE = r"(?i)^[+-]?(inf|infinity|nan(\([a-z0-9_]*\))?)$"


@dataclass(frozen=True)
class NumberTexts:
    """n texts as numbers."""

    #: float64, shape (n,); null if the number is missing, or if the text is not a number.
    values: pa.Array
    #: The indexes of texts that are not numbers, ascending.
    bad: npt.NDArray[np.int64]


def to_numbers(texts: pa.Array) -> NumberTexts:
    """Read texts as numbers. The words for true and false are 1 and 0. Vectorised."""
    none = np.empty(0, np.int64)
    values = pc.if_else(pc.is_in(texts, value_set=pa.array(NULL_WORDS, texts.type)), None, texts)
    try:
        return NumberTexts(values.cast(pa.float64()), none)
    except pa.ArrowInvalid:
        pass
    plain = _plain(values)
    try:
        return NumberTexts(plain.cast(pa.float64()), none)
    except pa.ArrowInvalid:
        pass
    shaped = pc.or_(pc.match_substring_regex(plain, _NUMBER), pc.match_substring_regex(plain, _NOT_FINITE))
    bad = pc.fill_null(pc.invert(shaped), False)
    numbers = pc.if_else(shaped, plain, None).cast(pa.float64())
    return NumberTexts(numbers, np.flatnonzero(bad.to_numpy(zero_copy_only=False)))


def are_words(texts: pa.Array | pa.ChunkedArray, words: tuple[str, ...]) -> pa.Array | pa.ChunkedArray:
    """Whether each text is one of some words; false for null."""
    return pc.is_in(texts, value_set=pa.array(words, texts.type), skip_nulls=True)


def trimmed(texts: pa.Array | pa.ChunkedArray) -> pa.Array | pa.ChunkedArray:
    """The texts without the white space that is ignored around numbers."""
    return pc.utf8_trim(texts, _SPACE)


def _plain(texts: pa.Array) -> pa.Array:
    """Texts without white space around them, and 1 and 0 instead of the words for true and false."""
    one, zero = pa.scalar("1", texts.type), pa.scalar("0", texts.type)
    words = pc.if_else(are_words(texts, FALSE_WORDS), zero, trimmed(texts))
    return pc.if_else(are_words(texts, TRUE_WORDS), one, words)
