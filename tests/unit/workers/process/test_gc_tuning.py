"""What the collector looks at."""

from __future__ import annotations

import gc
import weakref
from collections.abc import Iterator

import pytest

from longshore.workers.process.gc_tuning import keep, let_go


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
    keep()
    assert gc.get_freeze_count() > 1000
    del large
    gc.collect()
    assert gone() is not None
    let_go()
    assert gone() is None
    assert gc.get_freeze_count() > 1000
