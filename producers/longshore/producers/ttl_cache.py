"""Answers that stay right for a while."""

from __future__ import annotations

import time
from typing import Final, Generic, TypeVar

T = TypeVar("T")

#: Seconds: within these a worker may come or go, and a version be deleted, without a producer's noticing.
KEPT: Final = 2.0
#: Answers kept at a time.
MOST: Final = 256


class Remembered(Generic[T]):
    """Answers by what was asked. Threads may share one."""

    def __init__(self) -> None:
        self._answers: dict[str, tuple[float, T]] = {}

    def get(self, asked: str) -> T | None:
        """What was put there in the last :data:`KEPT` seconds."""
        found = self._answers.get(asked)
        return found[1] if found is not None and time.monotonic() < found[0] else None

    def put(self, asked: str, answer: T) -> T:
        """Keep an answer, and give it back."""
        if len(self._answers) >= MOST:
            self._answers = {}
        self._answers[asked] = (time.monotonic() + KEPT, answer)
        return answer
