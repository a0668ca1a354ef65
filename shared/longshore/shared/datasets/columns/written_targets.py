"""Target columns of text files: all values together tell whether they are labels or quantities.

A CSV file has no types, so the target is read as it is written. Its values are whole numbers only if each is written as
one (``7``, not ``07``): labels such as 01, 1 and 001 stay three classes.
"""

from __future__ import annotations

from collections.abc import Set
from dataclasses import dataclass, field
from typing import Literal

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from longshore.shared.datasets.columns.json_values import is_json, plain_texts
from longshore.shared.datasets.columns.number_texts import (
    FALSE_WORDS,
    NULL_WORDS,
    TRUE_WORDS,
    are_words,
    to_numbers,
    trimmed,
)
from longshore.shared.datasets.columns.types import is_text, stored
from longshore.shared.errors import InvalidInput
from longshore.shared.specs.validation import shorten
from longshore.shared.vocabulary import TrainTask

#: Whole numbers of more distinct values than this are quantities rather than labels, unless ``task`` says otherwise.
MAX_INTEGER_LABELS = 1000

Reading = Literal["integers", "booleans", "numbers", "text"]

#: A whole number as Python writes it. Others, such as 01, +1 and 1.0, are texts that would lose characters.
_CANONICAL = r"^(0|-?[1-9][0-9]*)$"
_DIGITS = r"^[+-]?[0-9]+$"

Mask = npt.NDArray[np.bool_]


@dataclass
class WrittenTargets:
    """Collects what the values of a target column are, block by block."""

    name: str
    task: TrainTask
    _row: int = 0
    #: For each kind of value, its first row and text.
    _first: dict[str, tuple[int, str]] = field(default_factory=dict)
    #: Distinct whole numbers, up to one more than can be labels.
    _integers: set[int] = field(default_factory=set)

    def add(self, column: pa.Array) -> None:
        """Add the values of the next rows."""
        texts, kinds = _kinds(column)
        for kind, mask in kinds.items():
            if not mask.any():
                continue
            index = int(mask.argmax())
            self._first.setdefault(kind, (self._row + index, texts[index].as_py() or ""))
            if kind == "integer" and len(self._integers) <= MAX_INTEGER_LABELS:
                whole = pc.unique(trimmed(texts.filter(pa.array(mask)))).slice(0, 2 * MAX_INTEGER_LABELS)
                self._integers.update(map(int, whole.to_pylist()))
        self._row += len(column)

    def reading(self) -> Reading:
        """What the values are.

        :raises InvalidInput: some of them are numbers, others are not, and only ``task`` could tell what is meant.
        """
        kinds = self._first.keys() - {"missing"}
        if self.task == "regression" or kinds <= {"null word"}:
            return "numbers"
        if kinds <= {"integer", "null word"}:
            return "integers"
        if kinds <= {"boolean", "null word"}:
            return "booleans"
        for kind in ("quoted", "nested"):  # JSON tells them apart from numbers
            if kind in kinds and len(kinds) > 1:
                raise self._mixed(kind, min(kinds - {kind}))
        if kinds <= {"integer", "decimal", "fraction", "null word"} and (self.task == "auto" or "fraction" in kinds):
            return "numbers"
        return self._text_or_unclear(kinds) if self.task == "auto" else "text"

    def note(self) -> str | None:
        """How labels were read, for the owner of the job; ``None`` if they can only be read in one way."""
        reading = self.reading()
        if self.task == "regression" or reading == "numbers":
            return None
        if reading == "integers":
            quantities = self.task == "auto" and len(self._integers) > MAX_INTEGER_LABELS
            return None if quantities else f"the labels of column {self.name!r} were read as whole numbers"
        if reading == "booleans":
            return f"the labels of column {self.name!r} were read as True and False"
        kinds = [kind for kind in ("padded", "integer", "decimal", "fraction", "boolean") if kind in self._first]
        if not kinds:
            return None
        row, text = self._first[kinds[0]]
        return (
            f"the labels of column {self.name!r} were read as text, exactly as written: not every value is a whole "
            f"number as it is usually written, so {shorten(text)} in row {row} is text, too"
        )

    def _text_or_unclear(self, kinds: Set[str]) -> Reading:
        """Labels, unless most likely a few values of a column of numbers are wrong."""
        others = [kind for kind in ("text", "boolean", "padded") if kind in kinds]
        numbers = [kind for kind in ("fraction", "decimal") if kind in kinds]
        if numbers and "padded" not in kinds and others:
            raise self._mixed(others[0], numbers[0])
        if numbers and not {"text", "boolean"} & kinds:
            return "numbers"
        if others and len(self._integers) > MAX_INTEGER_LABELS:
            raise self._mixed(others[0], "integer")
        return "text"

    def _mixed(self, one: str, other: str) -> InvalidInput:
        (row, text), (other_row, other_text) = self._first[one], self._first[other]
        return InvalidInput(
            "target",
            f"column {self.name!r} has {shorten(text)} in row {row}, which is not a number, and {other_text} in row "
            f"{other_row}; correct the row, or use task='classification' if both are labels",
        )


def _kinds(column: pa.Array) -> tuple[pa.Array, dict[str, Mask]]:
    """The texts of a column, and for each kind of value which of the n texts are of it, bool ``(n,)``."""
    texts = plain_texts(column) if is_json(column.type) else column
    missing = _mask(pc.is_null(texts))
    quoted, nested = np.zeros_like(missing), np.zeros_like(missing)
    if is_json(column.type):
        quoted = _mask(pc.starts_with(column.storage, '"'))
        nested = _mask(pc.or_(pc.starts_with(column.storage, "["), pc.starts_with(column.storage, "{")))
    else:
        missing |= _mask(pc.equal(texts, ""))
    free = ~(missing | quoted | nested)
    null_word = free & _mask(are_words(texts, NULL_WORDS))
    boolean = free & _mask(are_words(texts, (*TRUE_WORDS, *FALSE_WORDS)))
    free &= ~(null_word | boolean)
    numbers = to_numbers(texts)
    number = free.copy()
    number[numbers.bad] = False
    plain = trimmed(texts)
    integer = number & _are_integers(plain)
    padded = number & ~integer & _mask(pc.match_substring_regex(plain, _DIGITS))
    decimal = number & ~integer & ~padded
    values = numbers.values.to_numpy(zero_copy_only=False)
    with np.errstate(invalid="ignore"):
        whole = np.isfinite(values) & (values == np.floor(values))
    return texts, {
        "missing": missing,
        "null word": null_word,
        "quoted": quoted,
        "nested": nested,
        "boolean": boolean,
        "integer": integer,
        "padded": padded,
        "decimal": decimal & whole,
        "fraction": decimal & ~whole,
        "text": free & ~number,
    }


def _are_integers(texts: pa.Array) -> Mask:
    """Whether each text is an integer of 64 bits as Python writes it."""
    shaped = _mask(pc.match_substring_regex(texts, _CANONICAL))
    long = shaped & _mask(pc.greater(pc.utf8_length(texts), 18))
    for row in np.flatnonzero(long):
        shaped[row] = -(2**63) <= int(texts[int(row)].as_py()) < 2**63
    return shaped


def _mask(values: pa.Array) -> Mask:
    return np.array(pc.fill_null(values, False).to_numpy(zero_copy_only=False), np.bool_)


def is_written(kind: pa.DataType) -> bool:
    """Whether a target column of this type, of a text file, must be settled."""
    return is_json(kind) or is_text(kind)


def read_written(column: pa.Array, reading: Reading, name: str, row: int = 0, where: str = "") -> pa.Array:
    """Convert the values of some rows to int64, bool, float64 or text. A missing value is null.

    :param row: the number of the first, for errors; ``where`` follows it there, as in ``" of validation"``.
    :raises InvalidInput: a value cannot be read so; names column and row.
    """
    texts = plain_texts(column) if is_json(column.type) else column
    if reading == "text":
        return texts if is_json(column.type) else pc.if_else(pc.equal(texts, ""), None, texts)
    if reading == "numbers":
        numbers = to_numbers(texts)
        values, bad = numbers.values, numbers.bad
    else:
        present = pc.if_else(are_words(texts, NULL_WORDS), None, texts)
        integers = reading == "integers"
        fits = _are_integers(trimmed(texts)) if integers else _mask(are_words(texts, (*TRUE_WORDS, *FALSE_WORDS)))
        bad = np.flatnonzero(~fits & _mask(pc.is_valid(present)))
        values = pc.if_else(pa.array(fits), trimmed(present), None)
        values = values.cast(pa.int64()) if integers else pc.is_in(values, value_set=pa.array(TRUE_WORDS, values.type))
        values = pc.if_else(pa.array(fits), values, None)
    if is_json(column.type):  # a string of JSON is no number, whatever it contains
        bad = np.union1d(bad, np.flatnonzero(_mask(pc.starts_with(column.storage, '"'))))
    if len(bad):
        first = int(bad[0])
        expected = {"integers": "a whole number", "booleans": "true or false", "numbers": "a number"}[reading]
        others = f" (and in {len(bad) - 1} more)" if len(bad) > 1 else ""
        raise InvalidInput(
            "target",
            f"column {name!r} has {shorten(texts[first].as_py())} in row {row + first}{where}{others}, which is not "
            f"{expected}; correct or remove such rows",
        )
    return values


def reading_of(kind: pa.DataType) -> Reading:
    """How to read further targets, from the type of those that were read first."""
    if is_text(stored(kind)):
        return "text"
    if pa.types.is_boolean(kind):
        return "booleans"
    return "integers" if pa.types.is_integer(kind) else "numbers"
