"""Chooses the rows of a forward pass: a fixed number, or the number that is fastest on this device."""

from __future__ import annotations

import statistics
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Final

#: A size is judged by at least this many batches and this many seconds of them, because single batches vary with the
#: clock of a core and its neighbours.
MIN_BATCHES, MIN_SECONDS = 4, 0.05
#: A batch with fewer rows than the size that is measured tells of it if it has at least this share of them.
MIN_FILL = 0.75
#: Another batch size is better if it is faster by this factor; less is noise.
MIN_GAIN = 1.05
#: The length bucket of rows that have no length.
NO_LENGTH = 0


def bucket(length: int) -> int:
    """The length bucket of rows that share a batch size: tokens, rounded up to a power of two, at least 16."""
    return max(16, 1 << (length - 1).bit_length())


@dataclass(frozen=True)
class LearnedBatchSize:
    """The batch size of one length bucket."""

    #: Rows in a forward pass.
    rows: int
    #: Rows per second with it; 0 if it was not measured.
    rate: float = 0.0
    #: Whether other sizes were tried and are not faster, or do not fit.
    settled: bool = False


@dataclass
class _Search:
    """Doubles from ``first`` while that is faster; if the first doubling is not, halves while that is faster."""

    best: LearnedBatchSize
    #: The size being measured.
    rows: int
    #: The size that was measured first.
    first: int
    #: Whether the search goes down.
    halving: bool = False
    #: Rows per second of each batch of that size.
    rates: list[float] = field(default_factory=list)
    spent: float = 0.0


class BatchSizes:
    """The batch sizes of one version on one device, by length bucket.

    :param start: rows to begin with if nothing is known.
    :param largest: rows in a forward pass, at most.
    :param fixed: the job's own size, which only an out-of-memory error changes, to a smaller one.
    :param known: sizes learned before.
    """

    def __init__(
        self, start: int, largest: int, fixed: int | None = None, known: Mapping[int, LearnedBatchSize] = {}
    ) -> None:
        self._start: Final = min(start, largest)
        self._largest = largest
        self._fixed = fixed
        self._searches = {length: self._start_from(learned) for length, learned in known.items()}
        #: Sizes learned by this object, by bucket.
        self.learned: dict[int, LearnedBatchSize] = {}

    def rows(self, length: int) -> int:
        """Rows for the next batch of a bucket."""
        if self._fixed is not None:
            return self._fixed
        return self._search(length).rows

    def record(self, length: int, rows: int, seconds: float) -> None:
        """Record that a batch of ``rows`` took some seconds."""
        if self._fixed is not None:
            return
        search = self._search(length)
        if search.best.settled or seconds <= 0:
            return
        # The last batch of a window is often smaller, and tells nothing of the size unless it is nearly full.
        if rows != search.rows and not max(search.best.rows, MIN_FILL * search.rows - 1) < rows < search.rows:
            return
        search.rates.append(rows / seconds)
        search.spent += seconds
        if len(search.rates) >= MIN_BATCHES and search.spent >= MIN_SECONDS:
            self._judge(length, search)

    def record_out_of_memory(self, length: int, rows: int) -> int:
        """Record that ``rows`` rows, more than one, did not fit into memory. Returns the size to use instead."""
        smaller = max(rows // 2, 1)
        if self._fixed is not None:
            self._fixed = min(self._fixed, smaller)
            return self._fixed
        search = self._search(length)
        if smaller < search.rows:
            self._settle(length, search, LearnedBatchSize(smaller, 0.0, settled=True))
        return search.rows

    def _search(self, length: int) -> _Search:
        if length not in self._searches:
            self._searches[length] = self._start_from(LearnedBatchSize(self._start))
        return self._searches[length]

    def _start_from(self, learned: LearnedBatchSize) -> _Search:
        rows = min(learned.rows, self._largest)
        # Measure a size that is not settled once more: its rate may come from another worker on a busier machine.
        return _Search(learned if learned.settled else LearnedBatchSize(rows), rows, rows)

    def _judge(self, length: int, search: _Search) -> None:
        rate = statistics.median(search.rates)
        search.rates, search.spent = [], 0.0
        if rate >= search.best.rate * MIN_GAIN:
            search.best = self.learned[length] = LearnedBatchSize(search.rows, rate)
        elif search.best.rows == search.first and not search.halving:
            search.halving, search.rows = True, search.first
        else:
            self._settle(length, search, replace(search.best, settled=True))
            return
        following = search.rows // 2 if search.halving else search.rows * 2
        if 1 <= following <= self._largest:
            search.rows = following
        else:
            self._settle(length, search, replace(search.best, settled=True))

    def _settle(self, length: int, search: _Search, learned: LearnedBatchSize) -> None:
        search.best, search.rows = learned, learned.rows
        self.learned[length] = learned
