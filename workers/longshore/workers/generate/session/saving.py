"""Decides when what texts have is saved, so that a worker that is lost leaves it."""

from __future__ import annotations

import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from itertools import takewhile

from longshore.shared.ledger.shards.partial_texts import TextPiece
from longshore.workers.generate.engines.base import Engine
from longshore.workers.generate.session.shards import RowRun


@dataclass(frozen=True)
class UnsavedText:
    """Tokens of a text that are to be saved."""

    run: RowRun
    part: TextPiece


class TextSaver:
    """Used by the thread of a session. Texts that end within the interval cost nothing.

    :param engine: has the texts.
    :param interval: seconds from the first token of a row that is not saved until all are that it has then.
    """

    def __init__(self, engine: Engine, interval: float) -> None:
        self._engine = engine
        self._interval = interval
        #: When the first token came that is not saved, the earliest first.
        self._since: dict[RowRun, float] = {}

    def start(self, ids: Iterable[int], rows: Mapping[int, RowRun]) -> None:
        """Requests of rows have got their first token.

        :param rows: by the ids of their requests.
        """
        for id_ in ids:
            if (run := rows.get(id_)) is not None:
                self._since.setdefault(run, time.monotonic())

    def end(self, runs: Iterable[RowRun]) -> None:
        """Rows are complete, or not run here any more."""
        for run in runs:
            self._since.pop(run, None)

    def take_due(self) -> list[UnsavedText]:
        """What is to be saved now. It counts as saved from here on."""
        limit = time.monotonic() - self._interval
        return self._take([run for run, _ in takewhile(lambda each: each[1] <= limit, self._since.items())])

    def take_all(self) -> list[UnsavedText]:
        """All that is not saved."""
        return self._take(list(self._since))

    def _take(self, runs: list[RowRun]) -> list[UnsavedText]:
        if not runs:
            return []
        texts = self._engine.texts([id_ for run in runs for id_ in run.ids])
        now = time.monotonic()
        for run in runs:
            del self._since[run]
            self._since[run] = now
        return [UnsavedText(run, part) for run in runs for part in run.unsaved(texts)]
