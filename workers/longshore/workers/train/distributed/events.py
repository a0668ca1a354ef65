"""What rank 0 reports while it trains: a file of JSON lines that grows, and is read as it does."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from pydantic import TypeAdapter

_FILE = "events"


@dataclass(frozen=True)
class Event:
    """Metrics after an epoch, or after a step."""

    what: Literal["epoch", "step"]
    #: The epoch from 1, or the steps that are done.
    number: int
    metrics: dict[str, float]


_EVENT = TypeAdapter(Event)


class Teller:
    """Writes events."""

    def __init__(self, folder: Path) -> None:
        self._path = folder / _FILE

    def epoch(self, number: int, metrics: dict[str, float]) -> None:
        """See :data:`~longshore.workers.train.outcome.Report`."""
        self._tell(Event("epoch", number, metrics))

    def step(self, number: int, metrics: dict[str, float]) -> None:
        """See :data:`~longshore.workers.train.outcome.Report`."""
        self._tell(Event("step", number, metrics))

    def _tell(self, event: Event) -> None:
        with self._path.open("ab") as file:
            file.write(json.dumps(vars(event)).encode() + b"\n")


class Silence:
    """The ranks other than 0 report nothing: they would say the same."""

    def epoch(self, number: int, metrics: dict[str, float]) -> None:
        """See :class:`Teller`."""

    def step(self, number: int, metrics: dict[str, float]) -> None:
        """See :class:`Teller`."""


class Listener:
    """Reads events."""

    def __init__(self, folder: Path) -> None:
        self._path = folder / _FILE
        self._read = 0

    def new(self) -> Iterator[Event]:
        """Those since the last call. A line that is not whole yet is left for the next."""
        if not self._path.exists():
            return
        with self._path.open("rb") as file:
            file.seek(self._read)
            found = file.read()
        whole = found[: found.rfind(b"\n") + 1]
        self._read += len(whole)
        for line in whole.splitlines():
            yield _EVENT.validate_json(line)
