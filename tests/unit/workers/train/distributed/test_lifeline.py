"""Processes that end when the pipe is closed that they have for their standard input."""

from __future__ import annotations

import signal
import subprocess
import sys
from pathlib import Path

from tests.waiting import TIMEOUT_S

WAIT = """
import sys, threading
from pathlib import Path
from longshore.workers.train.distributed.lifeline import end_with_worker
end_with_worker(Path(sys.argv[1]) if len(sys.argv) > 1 else None)
print("ready", flush=True)
threading.Event().wait()
"""


def test_all_who_share_the_pipe_end_and_the_folder_goes(tmp_path: Path) -> None:
    folder = tmp_path / "private"
    folder.mkdir()
    (folder / "launch.json").write_text("{}")
    first = subprocess.Popen([sys.executable, "-c", WAIT, str(folder)], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    with first:
        assert first.stdin is not None
        assert first.stdout is not None
        assert first.stdout.readline() == b"ready\n"
        first.stdin.write(b"anything but the end")
        first.stdin.flush()
        assert first.poll() is None
        assert folder.exists()
        first.stdin.close()
        assert first.wait(TIMEOUT_S) == -signal.SIGKILL
    assert not folder.exists()
