"""Threads that read and write beside the computation, with bounded queues between."""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Generic, TypeVar

T = TypeVar("T")

#: Items that wait between two stages, at most.
QUEUE_DEPTH = 4
#: Seconds between two checks that the other side still runs.
_POLL_INTERVAL_S = 0.1


class _End:
    """Marks the end of a queue: no more items come, or an error was raised."""

    def __init__(self, error: BaseException | None = None) -> None:
        self.error = error


class Prefetcher(Generic[T]):
    """Draws from ``items`` in a thread, up to ``depth`` ahead. An error it meets is raised where the items are used."""

    def __init__(self, items: Iterator[T], depth: int = QUEUE_DEPTH) -> None:
        self._items = items
        self._waiting: queue.Queue[T | _End] = queue.Queue(depth)
        self._closed = threading.Event()
        self._drained = threading.Event()
        self._thread = threading.Thread(target=self._draw, name="reader", daemon=True)

    def start(self) -> None:
        """Begin to draw; does nothing if it has begun already."""
        if self._thread.ident is None:
            self._thread.start()

    @property
    def drained(self) -> bool:
        """Whether every item was drawn; some may not be used yet."""
        return self._drained.is_set()

    def close(self) -> None:
        """Stop drawing. Returns when the thread has ended."""
        self._closed.set()
        if self._thread.ident is not None:
            self._thread.join()

    def __iter__(self) -> Iterator[T]:
        self.start()
        while True:
            item = self._waiting.get()
            if isinstance(item, _End):
                if item.error is not None:
                    raise item.error
                return
            yield item

    def _put(self, item: T | _End) -> bool:
        while not self._closed.is_set():
            try:
                self._waiting.put(item, timeout=_POLL_INTERVAL_S)
            except queue.Full:
                continue
            return True
        return False

    def _draw(self) -> None:
        try:
            for item in self._items:
                if not self._put(item):
                    return
            self._drained.set()
        except BaseException as error:  # any error belongs to the thread that uses the items
            self._put(_End(error))
        else:
            self._put(_End())


@contextmanager
def prefetch(items: Iterator[T], depth: int = QUEUE_DEPTH) -> Iterator[Iterator[T]]:
    """A :class:`Prefetcher` that is closed at the end."""
    prefetcher = Prefetcher(items, depth)
    prefetcher.start()
    try:
        yield iter(prefetcher)
    finally:
        prefetcher.close()


class BackgroundWriter(Generic[T]):
    """Passes items to ``take`` in a thread, up to ``depth`` behind. The next call here raises an error of ``take``."""

    def __init__(self, take: Callable[[T], None], depth: int = QUEUE_DEPTH) -> None:
        self._take = take
        self._waiting: queue.Queue[T | _End] = queue.Queue(depth)
        self._error: BaseException | None = None
        self._thread = threading.Thread(target=self._run, name="writer", daemon=True)
        self._thread.start()

    def put(self, item: T) -> None:
        """Queue an item; waits while ``depth`` items are queued."""
        self._raise()
        self._waiting.put(item)

    def finish(self) -> None:
        """Wait until every item is taken."""
        self._stop()
        self._raise()

    def abandon(self) -> None:
        """Drop the items that are not taken yet, and stop; raises nothing."""
        self._error = self._error or RuntimeError("abandoned")
        self._stop()

    def _stop(self) -> None:
        if self._thread.is_alive():
            self._waiting.put(_End())
            self._thread.join()

    def _raise(self) -> None:
        if self._error is not None:
            raise self._error

    def _run(self) -> None:
        while not isinstance(item := self._waiting.get(), _End):
            # After an error keep emptying the queue, so that nobody waits to put into it.
            if self._error is None:
                try:
                    self._take(item)
                except BaseException as error:  # belongs to the thread that puts
                    self._error = error
