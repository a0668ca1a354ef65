"""Processes that start to submit at the same moment."""

from __future__ import annotations

import multiprocessing
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from multiprocessing.synchronize import Barrier
from typing import TypeAlias

#: The function that each process runs. It calls its first argument when it is ready, which returns when all start.
Target: TypeAlias = Callable[..., object]


class Crowd:
    """Processes that wait for :meth:`start`."""

    def __init__(self, barrier: Barrier, answers: multiprocessing.Queue[object], members: int) -> None:
        self._barrier = barrier
        self._answers = answers
        self._members = members

    def start(self) -> float:
        """Let all processes start. Returns the time of ``time.perf_counter``."""
        self._barrier.wait()
        return time.perf_counter()

    def answers(self) -> list[object]:
        """The return value of each process; waits for all of them."""
        return [self._answers.get() for _ in range(self._members)]


@contextmanager
def crowd(members: int, target: Target, *arguments: object) -> Iterator[Crowd]:
    """Start ``members`` processes that call ``target(begin, *arguments)``, which calls ``begin()`` when it is ready."""
    context = multiprocessing.get_context("spawn")
    barrier, answers = context.Barrier(members + 1), context.Queue()
    processes = [context.Process(target=_run, args=(barrier, answers, target, arguments)) for _ in range(members)]
    for process in processes:
        process.start()
    try:
        yield Crowd(barrier, answers, members)
    finally:
        for process in processes:
            process.join()


def _run(
    barrier: Barrier, answers: multiprocessing.Queue[object], target: Target, arguments: tuple[object, ...]
) -> None:
    answers.put(target(barrier.wait, *arguments))
