"""Stopping a home from another process."""

from __future__ import annotations

import signal
from pathlib import Path

from longshore.broker.embedded.home import Home
from longshore.broker.embedded.lock import HomeLock, lock_holder
from longshore.broker.embedded.process.identity import end
from longshore.broker.embedded.process.leftovers import stop_leftovers

#: Seconds that an ``up`` has to stop everything: more than the grace periods of all its processes together.
_UP_GRACE_S = 180.0
#: Seconds to wait for another ``down``.
_LOCK_TIMEOUT_S = 30.0


def stop_home(path: Path) -> bool:
    """Stop what runs in a home.

    :returns: whether anything ran.
    :raises HomeError: it belongs to another user, or another command has locked it.
    """
    home = Home(path)
    if not home.exists():
        return False
    holder = lock_holder(home.lock_file)
    was_up = holder is not None and holder.command == "up"
    process = holder.identity.find() if holder is not None and was_up else None
    if process is not None:
        end(process, signal.SIGTERM, _UP_GRACE_S)
    with HomeLock(home.lock_file, "down", wait_s=_LOCK_TIMEOUT_S):
        return stop_leftovers(home) or was_up
