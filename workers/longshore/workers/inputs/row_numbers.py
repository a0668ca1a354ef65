"""Rows with their numbers in the job, so that some rows of a shard can run alone."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pyarrow as pa


@dataclass(frozen=True)
class NumberedRows:
    """Rows that were read together."""

    batch: pa.RecordBatch
    #: Row numbers in the job, int64 ``(n,)``, ascending.
    rows: npt.NDArray[np.int64]


def number(batches: Iterable[pa.RecordBatch], start: int) -> Iterator[NumberedRows]:
    """Number every row.

    :param start: the number of the first row.
    """
    for batch in batches:
        yield NumberedRows(batch, np.arange(start, start + batch.num_rows))
        start += batch.num_rows


def pick(batches: Iterable[pa.RecordBatch], start: int, numbers: Sequence[int]) -> Iterator[NumberedRows]:
    """Select some rows; reads nothing after the last of them.

    :param start: the row number of the first row.
    :param numbers: row numbers, ascending.
    """
    left = np.asarray(numbers, np.int64)
    if not len(left):
        return
    for each in number(batches, start):
        # Both sides are ascending: the numbers of this batch come first.
        own, left = np.split(left, np.searchsorted(left, [start + each.batch.num_rows]))
        start += each.batch.num_rows
        if len(own):
            yield NumberedRows(each.batch.take(pa.array(own - each.rows[0])), own)
        if not len(left):
            return
