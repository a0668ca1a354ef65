"""Decides when what texts have is saved, so that a worker that is lost leaves it."""

from __future__ import annotations

import time
from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass
from itertools import takewhile

from longshore.shared.ledger.shards.partial_texts import TextPiece
from longshore.workers.generate.engines.base import BegunText
from longshore.workers.generate.session.shards import RowRun


@dataclass(frozen=True)
class UnsavedText:
    """Tokens of a text that are to be saved."""

    run: RowRun
    part: TextPiece


class TextSaver:
    """Used by the thread of a session. Texts that end within half of the interval cost nothing.

    :param texts: what the engine has of texts, by their ids.
    :param interval: seconds from the first token of a row that is not saved until all are that it has then, at most.
    :param clock: seconds on a clock that nobody sets.
    """

    def __init__(
        self,
        texts: Callable[[Collection[int]], Mapping[int, BegunText]],
        interval: float,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._texts = texts
        self._interval = interval
        self._clock = clock
        #: When the first token came that is not saved, the earliest first.
        self._since: dict[RowRun, float] = {}

    def start(self, ids: Iterable[int], rows: Mapping[int, RowRun]) -> None:
        """Requests of rows have got their first token.

        :param rows: by the ids of their requests.
        """
        for id_ in ids:
            if (run := rows.get(id_)) is not None:
                self._since.setdefault(run, self._clock())

    def end(self, runs: Iterable[RowRun]) -> None:
        """Rows are complete, or not run here any more."""
        for run in runs:
            self._since.pop(run, None)

    def take_due(self) -> list[UnsavedText]:
        """What is to be saved now. It counts as saved from here on."""
        now = self._clock()
        if not self._since or next(iter(self._since.values())) > now - self._interval:
            return []
        # Those that would be due soon are saved with it: not each by a transaction of its own.
        limit = now - self._interval / 2
        return self._take([run for run, _ in takewhile(lambda each: each[1] <= limit, self._since.items())])

    def take_all(self) -> list[UnsavedText]:
        """All that is not saved."""
        return self._take(list(self._since))

    def _take(self, runs: list[RowRun]) -> list[UnsavedText]:
        if not runs:
            return []
        texts = self._texts([id_ for run in runs for id_ in run.ids])
        now = self._clock()
        for run in runs:
            del self._since[run]
            self._since[run] = now
        return [UnsavedText(run, part) for run in runs for part in run.unsaved(texts)]
