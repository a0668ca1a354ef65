"""Splits the rows of a stream: each row's split depends on that row alone."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from longshore.workers.train.data.split import Codes, named_splits
from longshore.workers.train.seeds import derive_seed

#: The splits as numbers.
TRAIN, VALIDATION, TEST = 0, 1, 2

# The constants of SplitMix64, Steele et al., 2014, https://doi.org/10.1145/2714064.2660195
_STEP = np.uint64(0x9E3779B97F4A7C15)
_MIX = (np.uint64(0xBF58476D1CE4E5B9), np.uint64(0x94D049BB133111EB))


class Splitter(Protocol):
    """Assigns the rows of a source to splits."""

    @property
    def columns(self) -> Sequence[str]:
        """The columns that the splitter needs."""
        ...

    def parts(self, batch: pa.RecordBatch, start: int) -> Codes:
        """``TRAIN``, ``VALIDATION`` or ``TEST`` of each row.

        :param start: the number of the batch's first row in the source.
        :raises InvalidInput: a row does not name a split.
        """
        ...


@dataclass(frozen=True)
class ConstantSplitter:
    """Assigns every row to one split."""

    part: int
    columns: Sequence[str] = ()

    def parts(self, batch: pa.RecordBatch, start: int) -> Codes:
        """See :class:`Splitter`."""
        return np.full(batch.num_rows, self.part, np.int8)


@dataclass(frozen=True)
class HashSplitter:
    """Assigns rows by a hash of the row number and the seed, which holds out about the requested fractions."""

    validation: float
    test: float
    seed: int
    columns: Sequence[str] = ()

    def parts(self, batch: pa.RecordBatch, start: int) -> Codes:
        """See :class:`Splitter`."""
        drawn = _drawn(derive_seed("part", self.seed), start, batch.num_rows)
        parts = np.full(batch.num_rows, TRAIN, np.int8)
        parts[drawn < self.test + self.validation] = VALIDATION
        parts[drawn < self.test] = TEST
        return parts


@dataclass(frozen=True)
class FoldSplitter:
    """Assigns rows to ``folds`` folds by the same hash; fold ``number`` is for validation."""

    number: int
    folds: int
    seed: int
    columns: Sequence[str] = ()

    def parts(self, batch: pa.RecordBatch, start: int) -> Codes:
        """See :class:`Splitter`."""
        of = (_drawn(derive_seed("part", self.seed), start, batch.num_rows) * self.folds).astype(np.int64)
        return np.where(of == self.number, VALIDATION, TRAIN).astype(np.int8)


@dataclass(frozen=True)
class ColumnSplitter:
    """Assigns rows by the names in a column."""

    name: str

    @property
    def columns(self) -> Sequence[str]:
        """See :class:`Splitter`."""
        return (self.name,)

    def parts(self, batch: pa.RecordBatch, start: int) -> Codes:
        """See :class:`Splitter`."""
        return named_splits(pa.chunked_array([batch.column(self.name)]), self.name, start)


def _drawn(seed: int, start: int, count: int) -> npt.NDArray[np.float64]:
    """One number from 0 to 1 for each row number from ``start`` on."""
    with np.errstate(over="ignore"):
        mixed = np.uint64(seed) + _STEP * np.arange(start + 1, start + count + 1, dtype=np.uint64)
        mixed = (mixed ^ (mixed >> np.uint64(30))) * _MIX[0]
        mixed = (mixed ^ (mixed >> np.uint64(27))) * _MIX[1]
        mixed ^= mixed >> np.uint64(31)
    drawn: npt.NDArray[np.float64] = (mixed >> np.uint64(11)).astype(np.float64) * 2.0**-53
    return drawn
