"""Whether a column of texts has numbers, of which some are bad."""

from __future__ import annotations

import pyarrow as pa
import pyarrow.compute as pc

from longshore.shared.datasets.columns.number_texts import FALSE_WORDS, NULL_WORDS, TRUE_WORDS, are_words, to_numbers
from longshore.shared.datasets.preprocess.categories import category_texts
from longshore.shared.specs.validation import shorten

#: The share of numbers from which on a column of texts is one of numbers, and texts among them are mistakes: of many
#: rows, and of few. Codes such as ticket numbers are numbers for the most part, too.
_NUMBERS, _FEW_NUMBERS = 0.9, 0.5
_FEW_ROWS = 20


def bad_number(column: pa.Array) -> tuple[int, str] | None:
    """The first row whose text is not a number, and the text, if most texts of a column are numbers; else ``None``."""
    texts = category_texts(column)
    bad = to_numbers(texts).bad
    if not (len(bad) and texts_are_mistakes(count_numbers(texts), len(texts) - texts.null_count)):
        return None
    return int(bad[0]), text_at(texts, int(bad[0]))


def texts_are_mistakes(numbers: int, rows: int) -> bool:
    """Whether a column is one of numbers, if so many of its rows with a value are."""
    return numbers > 0 and numbers >= (_FEW_NUMBERS if rows < _FEW_ROWS else _NUMBERS) * rows


def text_at(texts: pa.Array, row: int) -> str:
    """A text for an error message."""
    return shorten(texts[row].as_py())


def bad_number_reason(name: str, row: int, text: str) -> str:
    """The error for a text in a column of numbers."""
    return (
        f"row {row}: column {name!r}: {text} is not a number, as most values of the column are; correct or remove it, "
        f"or take all of them for categories by preprocess={{{name!r}: 'category'}}"
    )


def count_numbers(texts: pa.Array) -> int:
    """How many texts are numbers, without the words for true, false and a missing value: these can be categories."""
    present = texts.filter(pc.invert(are_words(texts, (*NULL_WORDS, *TRUE_WORDS, *FALSE_WORDS)))).drop_null()
    return len(present) - len(to_numbers(present).bad)


def are_numbers(texts: pa.Array) -> bool:
    """Whether all texts are numbers, and none is a code such as 007, or has more digits than a number of 64 bits."""
    if len(to_numbers(texts).bad):
        return False
    return not pc.any(pc.match_substring_regex(texts, r"^\s*[+-]?(0[0-9]|[0-9]{16,}\s*$)")).as_py()
