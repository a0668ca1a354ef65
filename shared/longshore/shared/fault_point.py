"""Fault points: named moments between two steps, at which a test can stop, delay or end whoever passes them.

In production a fault point does nothing: no setting and no variable arms it, only a test that imports this module.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TypeAlias

#: Called with the name of each fault point that any thread passes.
Hook: TypeAlias = Callable[[str], None]

_hook: Hook | None = None


def fault_point(name: str) -> None:
    """Pass a fault point: one name for each place in the sources."""
    if _hook is not None:
        _hook(name)


@contextmanager
def armed(hook: Hook) -> Iterator[None]:
    """Call ``hook`` at every fault point of this process meanwhile. For tests only."""
    global _hook
    if _hook is not None:
        raise RuntimeError("fault points are armed already")
    _hook = hook
    try:
        yield
    finally:
        _hook = None
