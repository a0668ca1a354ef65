"""Converts the target column of a multilabel evaluation: lists of labels."""

from __future__ import annotations

import json

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from longshore.shared.datasets.columns.json_values import decode_json, is_json, json_column
from longshore.shared.datasets.columns.nested_lists import flatten
from longshore.shared.datasets.columns.types import is_list, stored, type_name
from longshore.shared.errors import DataError
from longshore.shared.specs.signature import Signature
from longshore.shared.specs.validation import shorten
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
        if is_json(column.type):
            return self._read_json(column)
        kind = stored(column.type)
        if not (pa.types.is_null(kind) or (is_list(kind) and not is_list(stored(kind.value_type)))):
            raise DataError(f"the target holds {type_name(kind)}, and the version predicts several labels a row")
        lists = flatten(column)
        rows = np.repeat(np.arange(len(column)), np.diff(lists.offsets))
        errors = dict.fromkeys(np.flatnonzero(lists.is_null).tolist(), MISSING)
        return self._known(lists.values, rows, len(column), errors)

    def _read_json(self, column: pa.Array) -> Known:
        """A block of a JSON Lines file in which some targets do not fit the lists of the first block."""
        sets = decode_json(column)
        lists = [each if isinstance(each, list) else [] for each in sets]
        labels = [json.dumps(label, ensure_ascii=False) for each in lists for label in each]
        rows = np.repeat(np.arange(len(column)), [len(each) for each in lists])
        errors = {
            row: MISSING if each is None else f"the target is {shorten(each)}, which is no list"
            for row, each in enumerate(sets)
            if not isinstance(each, list)
        }
        return self._known(json_column(pa.array(labels, pa.string())), rows, len(column), errors)

    def _known(self, labels: pa.Array, rows: npt.NDArray[np.int64], count: int, errors: dict[int, str]) -> Known:
        """:param labels: of all ``count`` rows together; ``rows`` has the row of each."""
        values: npt.NDArray[np.float64] = np.zeros((count, self._labels + 1))
        if len(labels):
            single = self._single.read(labels)
            for position in single.errors:
                errors.setdefault(int(rows[position]), "a label of the target is missing")
            codes = single.values.astype(np.int64)
            known = codes < self._labels
            values[rows[known], codes[known]] = 1.0
            np.add.at(values[:, self._labels], rows[~known], 1.0)
        values[list(errors)] = 0.0
        return Known(values, errors)
