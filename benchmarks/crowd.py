"""Many processes that begin to submit at the same moment."""

from __future__ import annotations

import multiprocessing
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from multiprocessing.synchronize import Barrier
from typing import TypeAlias

#: What each process does when it is ready, and again when all are to begin.
Work: TypeAlias = Callable[..., object]


class Crowd:
    """Processes that wait for :meth:`start`."""

    def __init__(self, barrier: Barrier, answers: multiprocessing.Queue[object], members: int) -> None:
        self._barrier = barrier
        self._answers = answers
        self._members = members

    def start(self) -> float:
        """Let all begin; returns the moment, of ``time.perf_counter``."""
        self._barrier.wait()
        return time.perf_counter()

    def answers(self) -> list[object]:
        """What the work of each has returned; waits for all."""
        return [self._answers.get() for _ in range(self._members)]


@contextmanager
def crowd(members: int, work: Work, *arguments: object) -> Iterator[Crowd]:
    """So many processes that each call ``work(begin, *arguments)``, which calls ``begin()`` when it is ready."""
    context = multiprocessing.get_context("spawn")
    barrier, answers = context.Barrier(members + 1), context.Queue()
    processes = [context.Process(target=_run, args=(barrier, answers, work, arguments)) for _ in range(members)]
    for process in processes:
        process.start()
    try:
        yield Crowd(barrier, answers, members)
    finally:
        for process in processes:
            process.join()


def _run(barrier: Barrier, answers: multiprocessing.Queue[object], work: Work, arguments: tuple[object, ...]) -> None:
    answers.put(work(barrier.wait, *arguments))
