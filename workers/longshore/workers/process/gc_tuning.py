"""Python's garbage collector, kept from looking at what stays.

torch alone has some hundred thousand objects. To look through them takes a third of a second, whenever the collector
comes by, in the middle of a shard. https://docs.python.org/3/library/gc.html#gc.freeze
"""

from __future__ import annotations

import gc


def keep() -> None:
    """Leave out all that is there now from later collections. Takes no time."""
    gc.freeze()


def let_go() -> None:
    """Look at everything once more, for something large is not needed any more."""
    gc.unfreeze()
    gc.collect()
    gc.freeze()
