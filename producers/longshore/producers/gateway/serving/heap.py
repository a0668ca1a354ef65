"""Keeps Python's garbage collector from scanning what stays, in the middle of requests.

The modules of the gateway have some hundred thousand objects. With a thousand requests in progress a full collection
came every few hundred requests, and all of them together took a fifth of the time.
"""

from __future__ import annotations

import gc
from typing import Final

#: New objects until the collector looks at these, and how many of its looks make one at older objects. A request makes
#: some hundred objects that live until it ends.
_THRESHOLDS: Final = (20_000, 20, 20)


def settle_heap() -> None:
    """Load what requests need, and exclude it from collections. Call it once, before the first request."""
    import longshore.producers.planning.planner
    import longshore.producers.results  # noqa: F401

    gc.collect()
    gc.freeze()
    gc.set_threshold(*_THRESHOLDS)
