"""How many rows a forward pass takes: what is given, or what is found fastest on this device."""

from __future__ import annotations

import statistics
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Final

#: A size is judged by at least this many batches, and this many seconds of them: a core's clock and its neighbours
#: make single ones unequal.
BATCHES, SECONDS = 4, 0.05
#: Another batch size is kept if it is faster by this factor; less is noise.
GAIN = 1.05
#: The length bucket of rows that have no length.
NO_LENGTH = 0


def bucket(length: int) -> int:
    """Rows of up to so many tokens share what is learned: the next power of two, at least 16."""
    return max(16, 1 << (length - 1).bit_length())


@dataclass(frozen=True)
class Learned:
    """What is known of one bucket."""

    #: In a forward pass.
    rows: int
    #: Rows a second with it; 0 where it was not measured.
    rate: float = 0.0
    #: Others were tried and are no faster, or do not fit.
    settled: bool = False


@dataclass
class _Search:
    """Doubling from ``first`` while that is faster; where the first doubling is not, halving while that is."""

    best: Learned
    #: The size that is measured now.
    rows: int
    #: The size that was measured first.
    first: int
    #: It goes down.
    halving: bool = False
    #: Rows a second of each batch of that size.
    rates: list[float] = field(default_factory=list)
    spent: float = 0.0


class BatchSizes:
    """Of one version on one device, by length bucket.

    :param start: rows to begin with where nothing is known.
    :param largest: never more than so many.
    :param given: the job's own size, which is only ever made smaller.
    :param known: what was learned before.
    """

    def __init__(self, start: int, largest: int, given: int | None = None, known: Mapping[int, Learned] = {}) -> None:
        self._start: Final = min(start, largest)
        self._largest = largest
        self._given = given
        self._searches = {length: self._from(found) for length, found in known.items()}
        #: What was found since this was made, by bucket.
        self.found: dict[int, Learned] = {}

    def rows(self, length: int) -> int:
        """Rows for the next batch of a bucket."""
        if self._given is not None:
            return self._given
        return self._search(length).rows

    def measured(self, length: int, rows: int, seconds: float) -> None:
        """A batch of ``rows`` was computed in so many seconds."""
        if self._given is not None:
            return
        search = self._search(length)
        if search.best.settled or rows != search.rows or seconds <= 0:
            return  # the last batch of a window is often smaller, and says nothing
        search.rates.append(rows / seconds)
        search.spent += seconds
        if len(search.rates) >= BATCHES and search.spent >= SECONDS:
            self._judge(length, search)

    def did_not_fit(self, length: int, rows: int) -> int:
        """Memory ran out with so many rows, more than one. Returns the size to go on with."""
        smaller = max(rows // 2, 1)
        if self._given is not None:
            self._given = min(self._given, smaller)
            return self._given
        search = self._search(length)
        if smaller < search.rows:
            self._settle(length, search, Learned(smaller, 0.0, settled=True))
        return search.rows

    def _search(self, length: int) -> _Search:
        if length not in self._searches:
            self._searches[length] = self._from(Learned(self._start))
        return self._searches[length]

    def _from(self, found: Learned) -> _Search:
        rows = min(found.rows, self._largest)
        # What is not settled is measured once more: its rate may be another worker's, on a busier machine.
        return _Search(found if found.settled else Learned(rows), rows, rows)

    def _judge(self, length: int, search: _Search) -> None:
        rate = statistics.median(search.rates)
        search.rates, search.spent = [], 0.0
        if rate >= search.best.rate * GAIN:
            search.best = self.found[length] = Learned(search.rows, rate)
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

    def _settle(self, length: int, search: _Search, found: Learned) -> None:
        search.best, search.rows = found, found.rows
        self.found[length] = found
