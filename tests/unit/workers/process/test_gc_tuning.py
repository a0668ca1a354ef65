"""What the collector looks at."""

from __future__ import annotations

import gc
import weakref

from longshore.workers.process.gc_tuning import collect_and_freeze, freeze_heap


class Large:
    """In a circle, so that only the collector can remove it."""

    def __init__(self) -> None:
        self.itself = self


def test_what_is_there_is_not_looked_at_again() -> None:
    large = Large()
    gone = weakref.ref(large)
    others = [Large() for _ in range(1000)]
    before = gc.get_freeze_count()
    freeze_heap()
    assert gc.get_freeze_count() - before > len(others)
    del large
    gc.collect()
    assert gone() is not None
    collect_and_freeze()
    assert gone() is None
    assert gc.get_freeze_count() > 1000
