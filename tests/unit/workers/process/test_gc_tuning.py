"""What the collector looks at."""

from __future__ import annotations

import gc
import weakref
from collections.abc import Iterator

import pytest

from longshore.workers.process.gc_tuning import collect_and_freeze, freeze_heap


class Large:
    """In a circle, so that only the collector can remove it."""

    def __init__(self) -> None:
        self.itself = self


@pytest.fixture(autouse=True)
def _unfrozen() -> Iterator[None]:
    yield
    gc.unfreeze()


def test_what_is_there_is_not_looked_at_again() -> None:
    large = Large()
    gone = weakref.ref(large)
    freeze_heap()
    assert gc.get_freeze_count() > 1000
    del large
    gc.collect()
    assert gone() is not None
    collect_and_freeze()
    assert gone() is None
    assert gc.get_freeze_count() > 1000
