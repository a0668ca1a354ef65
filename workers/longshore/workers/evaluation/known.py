"""Converts the target column of an evaluation to numbers that predictions are compared with."""

from __future__ import annotations

import math
import re
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from longshore.shared.datasets.columns.json_values import decode_json, is_json, json_column
from longshore.shared.datasets.columns.number_texts import NULL_WORDS, to_numbers
from longshore.shared.datasets.columns.types import is_text
from longshore.shared.specs.evaluate import MAX_UNKNOWN_LABELS
from longshore.shared.specs.signature import Signature
from longshore.shared.specs.validation import shorten

MISSING = "the target is missing"
#: Larger whole numbers are not exact as floats.
MAX_EXACT_INTEGER = 2**53
_WHOLE = re.compile(r"[+-]?[0-9]{1,300}")
_DECIMAL = re.compile(r"[+-]?[0-9]{1,300}\.[0-9]*")


@dataclass(frozen=True)
class Known:
    """The targets of n rows."""

    #: Classification: indexes into the labels, float64 ``(n,)``; one past the last index for an unknown label.
    #: Regression: the values ``(n,)``. Multilabel: ``(n, labels + 1)``, 1 for each label of the row; the last column is
    #: the number of unknown labels of the row. A row with an error has 0.
    values: npt.NDArray[np.float64]
    #: Why a row has no target, by its index in the window.
    errors: dict[int, str]


class KnownTargets:
    """Reads target columns for one version."""

    def __init__(self, signature: Signature) -> None:
        self._labels = signature.labels
        # The type is part of the key: 1, true and "1" are three labels.
        self._codes: dict[tuple[type, object], int] = {
            (type(label), label): code for code, label in enumerate(signature.labels or ())
        }
        #: Whether no label is text, so that the words for a missing number are no labels either.
        self._typed = not any(isinstance(label, str) for label in self._labels or ())
        #: The first labels that the version does not know.
        self.unknown: list[str] = []

    def read(self, column: pa.Array) -> Known:
        """Convert the targets of a window. A value that is no valid target is an error of its row."""
        if self._labels is None and is_text(column.type):
            return _written_numbers(column)
        if is_json(column.type):
            encoded = column.storage.dictionary_encode()
            distinct: list[object] = list(decode_json(json_column(encoded.dictionary)))
        else:
            encoded = column if pa.types.is_dictionary(column.type) else column.dictionary_encode()
            distinct = encoded.dictionary.to_pylist()
        values = [self._one(value) for value in distinct]
        # The extra index is for nulls.
        places = np.asarray(encoded.indices.fill_null(len(values)))
        numbers = np.array([0.0 if isinstance(each, str) else each for each in values] + [0.0])
        reasons = [each if isinstance(each, str) else None for each in values] + [MISSING]
        bad = np.array([reason is not None for reason in reasons])[places]
        return Known(numbers[places], {int(row): str(reasons[places[row]]) for row in np.flatnonzero(bad)})

    def _one(self, value: object) -> float | str:
        """The value as a number, or an error message."""
        if value is None or (isinstance(value, float) and math.isnan(value)):
            return MISSING
        return self._value(value) if self._labels is None else self._code(value)

    def _code(self, value: object) -> float | str:
        for each in _readings(value):
            if (code := self._codes.get((type(each), each))) is not None:
                return code
        if value == "" or (isinstance(value, str) and self._typed and value in NULL_WORDS):
            return MISSING
        named = shorten(value)
        if len(self.unknown) < MAX_UNKNOWN_LABELS and named not in self.unknown:
            self.unknown.append(named)
        return len(self._codes)

    @staticmethod
    def _value(value: object) -> float | str:
        try:
            if isinstance(value, str):  # JSON: a text is no number
                raise TypeError
            number = float(value)  # type: ignore[arg-type]
        except OverflowError:
            number = math.inf
        except (TypeError, ValueError):
            return f"the target is {shorten(value)}, which is no number"
        return number if math.isfinite(number) else f"the target is {number}, which is not finite"


def _readings(value: object) -> list[object]:
    """The labels that a value can stand for. CSV has no types: a text stands for what the version's labels are."""
    if isinstance(value, float) and value.is_integer():
        return [int(value)]
    if not isinstance(value, str):
        return [value]
    readings: list[object] = [value]
    word = value.strip()
    if word.lower() in ("true", "false", "1", "0"):
        readings.append(word.lower() in ("true", "1"))
    if _WHOLE.fullmatch(word):
        # A version that was trained before labels kept their characters may have read 01 as the label 1.
        readings.append(int(word))
    elif _DECIMAL.fullmatch(word) and float(word).is_integer() and abs(float(word)) < MAX_EXACT_INTEGER:
        readings.append(int(float(word)))
    return readings


def _written_numbers(column: pa.Array) -> Known:
    """The targets of a regression, from a column of text."""
    texts = column.cast(pa.string())
    numbers = to_numbers(texts)
    values = numbers.values.to_numpy(zero_copy_only=False)
    errors = {int(row): MISSING for row in np.flatnonzero(np.isnan(values))}
    for row in np.flatnonzero(np.isinf(values)):
        errors[int(row)] = f"the target is {values[row]}, which is not finite"
    for row in numbers.bad:
        errors[int(row)] = f"the target is {shorten(texts[int(row)].as_py())}, which is no number"
    return Known(np.where(np.isfinite(values), values, 0.0), errors)
