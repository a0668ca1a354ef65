"""Work in threads beside the computation, with bounded queues between."""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Generic, TypeVar

T = TypeVar("T")

#: Batches that wait between two stages.
DEPTH = 4
#: Seconds between two looks at whether the other side is still there.
_LOOK = 0.1


class _End:
    """Stands in a queue for: nothing more comes, or this error came."""

    def __init__(self, error: BaseException | None = None) -> None:
        self.error = error


class Ahead(Generic[T]):
    """Draw from ``items`` in a thread, up to ``depth`` ahead. What it raises is raised where the items are used."""

    def __init__(self, items: Iterator[T], depth: int = DEPTH) -> None:
        self._items = items
        self._waiting: queue.Queue[T | _End] = queue.Queue(depth)
        self._closed = threading.Event()
        self._drained = threading.Event()
        self._thread = threading.Thread(target=self._draw, name="reader", daemon=True)

    def start(self) -> None:
        """Begin to draw; does nothing where that was done before."""
        if self._thread.ident is None:
            self._thread.start()

    @property
    def drained(self) -> bool:
        """Nothing is left to draw, though not everything may be used."""
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
                self._waiting.put(item, timeout=_LOOK)
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
        except BaseException as error:  # whatever it is belongs to the thread that uses the items
            self._put(_End(error))
        else:
            self._put(_End())


@contextmanager
def ahead(items: Iterator[T], depth: int = DEPTH) -> Iterator[Iterator[T]]:
    """An :class:`Ahead` that is closed at the end."""
    drawn = Ahead(items, depth)
    drawn.start()
    try:
        yield iter(drawn)
    finally:
        drawn.close()


class Behind(Generic[T]):
    """Hand items to ``take`` in a thread, up to ``depth`` behind. What it raises is raised by the next call here."""

    def __init__(self, take: Callable[[T], None], depth: int = DEPTH) -> None:
        self._take = take
        self._waiting: queue.Queue[T | _End] = queue.Queue(depth)
        self._error: BaseException | None = None
        self._thread = threading.Thread(target=self._run, name="writer", daemon=True)
        self._thread.start()

    def put(self, item: T) -> None:
        """Hand over an item; waits while ``depth`` of them are not taken yet."""
        self._raise()
        self._waiting.put(item)

    def finish(self) -> None:
        """Wait until everything is taken."""
        self._stop()
        self._raise()

    def abandon(self) -> None:
        """Stop without regard to what is not taken yet; raises nothing."""
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
            # After an error the queue is still emptied, so that nobody waits to put into it.
            if self._error is None:
                try:
                    self._take(item)
                except BaseException as error:  # belongs to the thread that puts
                    self._error = error
