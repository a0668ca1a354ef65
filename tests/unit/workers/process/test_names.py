"""The names of workers: never the same twice at a time, and the same again later."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from uuid import uuid4

from longshore.workers.process.names import WorkerNames

_TAKE = """
import sys
from longshore.workers.process.names import WorkerNames
names = WorkerNames(sys.argv[1], "here")
print(names.take("cpu:0"), flush=True)
sys.stdin.read()
"""


def process(cluster: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-c", _TAKE, cluster], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )


def taken(other: subprocess.Popen[str]) -> str:
    assert other.stdout is not None
    return other.stdout.readline().strip()


def test_a_name_that_a_living_process_has_gets_a_number() -> None:
    cluster = str(uuid4())
    with process(cluster) as first, process(cluster) as second:
        assert {taken(first), taken(second)} == {"cpu:0@here", "cpu:0.2@here"}
        third = WorkerNames(cluster, "here")
        assert [third.take("cpu:0"), third.take("cpu:1")] == ["cpu:0.3@here", "cpu:1@here"]
        third.close()
        for each in (first, second):
            each.communicate("")


def test_the_name_is_free_however_its_process_ended() -> None:
    cluster = str(uuid4())
    with process(cluster) as killed:
        assert taken(killed) == "cpu:0@here"
        os.kill(killed.pid, signal.SIGKILL)
    with process(cluster) as next_:
        assert taken(next_) == "cpu:0@here"
        next_.communicate("")


def test_names_that_are_given_back_are_free() -> None:
    cluster = str(uuid4())
    one, two = WorkerNames(cluster, "here"), WorkerNames(cluster, "here")
    assert (one.take("cuda:0+cuda:1"), two.take("cuda:0+cuda:1")) == ("cuda:0+cuda:1@here", "cuda:0+cuda:1.2@here")
    one.close()
    assert one.take("cuda:0+cuda:1") == "cuda:0+cuda:1@here"
    one.close()
    two.close()


def test_other_clusters_have_names_of_their_own() -> None:
    one, two = WorkerNames(str(uuid4()), "here"), WorkerNames(str(uuid4()), "here")
    assert one.take("cpu:0") == two.take("cpu:0") == "cpu:0@here"
    one.close()
    two.close()
