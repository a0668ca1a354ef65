"""Converts the target column of a multilabel evaluation: lists of labels."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from longshore.shared.datasets.columns.nested_lists import flatten
from longshore.shared.datasets.columns.types import is_list, stored, type_name
from longshore.shared.errors import DataError
from longshore.shared.specs.signature import Signature
from longshore.workers.evaluation.known import MISSING, Known, KnownTargets


class KnownSets:
    """Reads target columns for one version."""

    def __init__(self, signature: Signature) -> None:
        self._labels = len(signature.labels or ())
        self._single = KnownTargets(signature)

    @property
    def unknown(self) -> list[str]:
        """The first labels that the version does not know."""
        return self._single.unknown

    def read(self, column: pa.Array) -> Known:
        """Convert the targets of a window. A missing list, or a list with a missing label, is an error of its row.

        :raises DataError: the column does not hold lists. In a chain only this check finds it.
        """
        kind = stored(column.type)
        if not (pa.types.is_null(kind) or (is_list(kind) and not is_list(stored(kind.value_type)))):
            raise DataError(f"the target holds {type_name(kind)}, and the version predicts several labels a row")
        lists = flatten(column)
        rows = np.repeat(np.arange(len(column)), np.diff(lists.offsets))
        values: npt.NDArray[np.float64] = np.zeros((len(column), self._labels + 1))
        errors = dict.fromkeys(np.flatnonzero(lists.is_null).tolist(), MISSING)
        if len(lists.values):
            single = self._single.read(lists.values)
            for place in single.errors:
                errors.setdefault(int(rows[place]), "a label of the target is missing")
            codes = single.values.astype(np.int64)
            known = codes < self._labels
            values[rows[known], codes[known]] = 1.0
            np.add.at(values[:, self._labels], rows[~known], 1.0)
        values[list(errors)] = 0.0
        return Known(values, errors)
