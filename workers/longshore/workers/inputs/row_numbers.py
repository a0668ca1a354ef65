"""Rows with their numbers in the job, so that some of a shard's can be run by themselves."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pyarrow as pa


@dataclass(frozen=True)
class Numbered:
    """Rows that were read together."""

    batch: pa.RecordBatch
    #: Row numbers in the job, int64 ``(n,)``, ascending.
    rows: npt.NDArray[np.int64]


def number(batches: Iterable[pa.RecordBatch], start: int) -> Iterator[Numbered]:
    """Every row.

    :param start: the row number of the first.
    """
    for batch in batches:
        yield Numbered(batch, np.arange(start, start + batch.num_rows))
        start += batch.num_rows


def pick(batches: Iterable[pa.RecordBatch], start: int, wanted: Sequence[int]) -> Iterator[Numbered]:
    """Only some rows; nothing is read after the last of them.

    :param start: the row number of the first row.
    :param wanted: row numbers, ascending.
    """
    left = np.asarray(wanted, np.int64)
    if not len(left):
        return
    for each in number(batches, start):
        # Ascending on both sides: those of this batch stand at the front.
        own, left = np.split(left, np.searchsorted(left, [start + each.batch.num_rows]))
        start += each.batch.num_rows
        if len(own):
            yield Numbered(each.batch.take(pa.array(own - each.rows[0])), own)
        if not len(left):
            return
