"""How long tests wait for something to happen, in one place."""

from __future__ import annotations

import time
from collections.abc import Callable

#: Seconds a test waits for any one thing. Less than the ``timeout`` of pytest: the test itself says what is late.
TIMEOUT_S = 200.0
#: Seconds between two checks of a condition.
POLL_INTERVAL_S = 0.02


def wait_until(
    condition: Callable[[], object], description: str = "the condition", timeout_s: float = TIMEOUT_S
) -> None:
    """Check ``condition`` until it is true.

    :raises AssertionError: it was not true within ``timeout_s`` seconds.
    """
    deadline = time.monotonic() + timeout_s
    while not condition():
        assert time.monotonic() < deadline, f"{description} did not happen in {timeout_s:g} s"
        time.sleep(POLL_INTERVAL_S)
