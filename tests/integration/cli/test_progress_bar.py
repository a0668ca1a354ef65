"""A progress bar on a terminal, and none in a pipe."""

from __future__ import annotations

import re
import subprocess
import sys

import pytest

from tests.integration.cluster import Cluster
from tests.terminal import on_a_terminal, without_escapes

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


@pytest.mark.parametrize("columns", [60, 80, 120])
def test_a_terminal_shows_how_far_the_job_is(cluster: Cluster, columns: int) -> None:
    shown = without_escapes(on_a_terminal([sys.executable, "-c", PRODUCER], cluster.environment, columns))
    last = [line for line in re.split("[\r\n]+", shown) if line.strip()][-1].rstrip()
    assert re.match("train line  ━+  3/3 epochs  succeeded", last)
    assert len(last) <= columns
    assert ("train_loss" in last) is (columns > 80)
