"""Which rows of a stream are trained on and which are held out, told from each row alone."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from longshore.workers.train.data.split import Codes, named_splits
from longshore.workers.train.seeds import derive_seed

#: What a row is, as a number.
TRAIN, VALIDATION, TEST = 0, 1, 2

# The constants of SplitMix64, Steele et al., 2014, https://doi.org/10.1145/2714064.2660195
_STEP = np.uint64(0x9E3779B97F4A7C15)
_MIX = (np.uint64(0xBF58476D1CE4E5B9), np.uint64(0x94D049BB133111EB))


class Splitter(Protocol):
    """Tells the parts of a source's rows."""

    @property
    def columns(self) -> Sequence[str]:
        """The columns that it must see."""
        ...

    def parts(self, batch: pa.RecordBatch, start: int) -> Codes:
        """``TRAIN``, ``VALIDATION`` or ``TEST`` of each row.

        :param start: the number of the batch's first row in the source.
        :raises InvalidInput: a row says something else.
        """
        ...


@dataclass(frozen=True)
class ConstantSplitter:
    """Every row is of the one part."""

    part: int
    columns: Sequence[str] = ()

    def parts(self, batch: pa.RecordBatch, start: int) -> Codes:
        """See :class:`Splitter`."""
        return np.full(batch.num_rows, self.part, np.int8)


@dataclass(frozen=True)
class HashSplitter:
    """A hash of a row's number and the seed decides, so that about the fractions asked for are held out."""

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
    """The same hash decides which of ``folds`` parts a row belongs to; those of the part ``number`` validate."""

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
    """A column says it."""

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
