"""Converts the target column of an evaluation to numbers that predictions are compared with."""

from __future__ import annotations

import math
from contextlib import suppress
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from longshore.shared.specs.evaluate import MAX_UNKNOWN_LABELS
from longshore.shared.specs.signature import Signature
from longshore.shared.specs.validation import shorten

MISSING = "the target is missing"


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
        #: The first labels that the version does not know.
        self.unknown: list[str] = []

    def read(self, column: pa.Array) -> Known:
        """Convert the targets of a window. A value that is no valid target is an error of its row."""
        encoded = column if pa.types.is_dictionary(column.type) else column.dictionary_encode()
        values = [self._one(value) for value in encoded.dictionary.to_pylist()]
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

    def _code(self, value: object) -> float:
        for each in _readings(value):
            if (code := self._codes.get((type(each), each))) is not None:
                return code
        named = shorten(value)
        if len(self.unknown) < MAX_UNKNOWN_LABELS and named not in self.unknown:
            self.unknown.append(named)
        return len(self._codes)

    @staticmethod
    def _value(value: object) -> float | str:
        try:
            number = float(str(value)) if isinstance(value, str) else float(value)  # type: ignore[arg-type]
        except (TypeError, ValueError):
            return f"the target is {shorten(value)}, which is no number"
        return number if math.isfinite(number) else f"the target is {number}, which is not finite"


def _readings(value: object) -> list[object]:
    """The labels that a value can stand for. If one value of a block of text does not parse, all values are text."""
    if isinstance(value, float) and value.is_integer():
        return [int(value)]
    if not isinstance(value, str):
        return [value]
    readings: list[object] = [value]
    if value.strip().lower() in ("true", "false"):
        readings.append(value.strip().lower() == "true")
    with suppress(ValueError):
        readings.append(int(value))
    return readings
