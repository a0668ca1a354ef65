"""Columns that number the rows: the index of a pandas frame, a column without a name, and a count of the rows.

A model that learns from such a column predicts the order of the file. Sorted rows make it look excellent.
"""

from __future__ import annotations

import json
import re
from collections.abc import Collection, Iterable, Iterator

import numpy as np
import pyarrow as pa

#: The key of the schema metadata in which pandas describes its frame.
_PANDAS = b"pandas"
#: Names that pandas gives to an index and to a column without a name.
_INDEX_NAME = re.compile(r"__index_level_\d+__|Unnamed: \d+|\s*")
#: A count of fewer rows may well be a feature.
MIN_COUNTED_ROWS = 20


def keep_index(schema: pa.Schema) -> pa.Schema:
    """The schema with no metadata but the names of pandas' index columns."""
    names = [name for name in schema.names if name in _described_index(schema)]
    metadata = {_PANDAS: json.dumps({"index_columns": names}).encode()} if names else None
    return schema.with_metadata(metadata)


def index_columns(schema: pa.Schema) -> list[str]:
    """The columns that are an index or have no name, in order. They are features only if they are named as such."""
    described = _described_index(schema)
    return [name for name in schema.names if name in described or _INDEX_NAME.fullmatch(name)]


def index_notes(schema: pa.Schema, features: Iterable[str], others: Collection[str | None]) -> tuple[str, ...]:
    """A note for each index column that is not used.

    :param features: the columns that are trained on.
    :param others: columns with another role, such as the target.
    """
    used = {*features, *others}
    return tuple(
        f"column {name!r} is not trained on, because it is {_reason(name, schema)}; name it in features to use it"
        for name in index_columns(schema)
        if name not in used
    )


def _reason(name: str, schema: pa.Schema) -> str:
    return "an index of pandas" if name.strip() or name in _described_index(schema) else "a column without a name"


def _described_index(schema: pa.Schema) -> frozenset[str]:
    try:
        described = json.loads((schema.metadata or {}).get(_PANDAS, b"{}"))
        # A range is described by a dict, and has no column.
        return frozenset(name for name in described.get("index_columns", []) if isinstance(name, str))
    except (ValueError, AttributeError, TypeError, RecursionError):  # of another program
        return frozenset()


class RowCounts:
    """Finds the columns of integers that count the rows from 0 or 1, batch by batch.

    :param names: the columns to look at.
    """

    def __init__(self, names: Iterable[str]) -> None:
        #: The number of the first row in each column that may be a count; ``None`` before the first batch.
        self._first: dict[str, int | None] = dict.fromkeys(names)
        self._rows = 0

    def add(self, batch: pa.RecordBatch | pa.Table) -> None:
        """Look at the next rows."""
        for name, first in list(self._first.items()):
            column = batch.column(name)
            counted = self._counted(column, first)
            if counted is None:
                del self._first[name]
            else:
                self._first[name] = counted
        self._rows += batch.num_rows

    def _counted(self, column: pa.Array | pa.ChunkedArray, first: int | None) -> int | None:
        """The number of the first row of all; ``None`` if the column does not count the rows."""
        whole = pa.types.is_integer(column.type) or pa.types.is_float64(column.type)  # of text files
        if not whole or column.null_count or not len(column):
            return first if not len(column) else None
        begin = column[0].as_py() - self._rows  # NaN is neither 0 nor 1
        if begin not in (0, 1) or first not in (None, begin):
            return None
        # Most columns differ from a count in their second value.
        if len(column) > 1 and column[1].as_py() != self._rows + begin + 1:
            return None
        expected = np.arange(self._rows + begin, self._rows + begin + len(column))
        return int(begin) if np.array_equal(column.to_numpy(), expected) else None

    def notes(self) -> Iterator[str]:
        """Yield a note for each column that counts all rows."""
        if self._rows < MIN_COUNTED_ROWS:
            return
        for name, first in self._first.items():
            if first is not None:
                yield (
                    f"column {name!r} counts the rows ({first}, {first + 1}, {first + 2}, ...); if it is a row number, "
                    "leave it out of features: a model can learn the order of the rows from it"
                )
