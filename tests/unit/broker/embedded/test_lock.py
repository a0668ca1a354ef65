from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from longshore.broker.embedded.lock import HomeLock, lock_holder
from longshore.broker.embedded.process.identity import Identity
from longshore.shared.errors import HomeError

HOLD = """
import signal, sys
from pathlib import Path
from longshore.broker.embedded.lock import HomeLock
with HomeLock(Path(sys.argv[1]), sys.argv[2]):
    print(flush=True)
    signal.pause()
"""


def hold(path: Path, task: str) -> subprocess.Popen[bytes]:
    popen = subprocess.Popen([sys.executable, "-c", HOLD, str(path), task], stdout=subprocess.PIPE)
    assert popen.stdout is not None
    popen.stdout.readline()
    return popen


def test_the_holder_is_known_while_it_holds(tmp_path: Path) -> None:
    path = tmp_path / "lock"
    assert lock_holder(path) is None
    with HomeLock(path, "up"):
        holder = lock_holder(path)
        assert holder is not None
        assert (holder.identity, holder.command) == (Identity.own(), "up")
    assert lock_holder(path) is None


@pytest.mark.parametrize(("task", "said"), [("up", "is already up"), ("down", "is being stopped")])
def test_a_second_one_is_refused_until_the_first_is_killed(tmp_path: Path, task: str, said: str) -> None:
    path = tmp_path / "lock"
    with hold(path, task) as other:
        with pytest.raises(HomeError, match=rf"{said} \(pid {other.pid}\)"), HomeLock(path, "up"):
            pass
        other.kill()
        with HomeLock(path, "up", wait_s=30):
            holder = lock_holder(path)
            assert holder is not None
            assert holder.identity.pid == os.getpid()


def test_a_damaged_lock_file_has_no_holder(tmp_path: Path) -> None:
    path = tmp_path / "lock"
    path.write_text('{"pid": 1')
    assert lock_holder(path) is None
    with HomeLock(path, "up"):
        assert lock_holder(path) is not None
