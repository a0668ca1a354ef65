"""A progress bar on a terminal, and none in a pipe."""

from __future__ import annotations

import os
import pty
import subprocess
import sys

from tests.integration.cluster import Cluster

PRODUCER = """
from longshore.producers import Client

rows = {"x": [float(x) for x in range(64)], "y": [3.0 * x for x in range(64)]}
with Client() as client:
    client.train("line", "linear", rows, "y", epochs=3).wait(120)
"""


def test_nothing_is_drawn_in_a_pipe(cluster: Cluster) -> None:
    done = subprocess.run(
        [sys.executable, "-c", PRODUCER], env=cluster.environment, capture_output=True, text=True, timeout=200
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


def test_a_terminal_shows_how_far_the_job_is(cluster: Cluster) -> None:
    screen, terminal = pty.openpty()
    environment = {**cluster.environment, "TERM": "xterm-256color", "COLUMNS": "120"}
    process = subprocess.Popen([sys.executable, "-c", PRODUCER], env=environment, stderr=terminal, stdout=terminal)
    os.close(terminal)
    shown = b""
    try:
        while chunk := os.read(screen, 65536):
            shown += chunk
    except OSError:  # how Linux says that the last one has closed the terminal
        pass
    finally:
        os.close(screen)
    assert process.wait(60) == 0
    assert b"train line succeeded" in shown
    assert b"3/3" in shown
