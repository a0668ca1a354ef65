from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from uuid import uuid4

import psutil

from longshore.broker.embedded.process.identity import RUN_VARIABLE, Identity, belonging_to, end, is_alive, kill
from tests.waiting import wait_until

IDLE = "print(flush=True); import signal; signal.pause()"
DEAF = "import signal; signal.signal(signal.SIGTERM, signal.SIG_IGN); " + IDLE
PARENT = f"import subprocess, sys; subprocess.Popen([sys.executable, '-c', {IDLE!r}], start_new_session=True); " + IDLE


@contextmanager
def running(script: str, lines: int = 1, run: str = "") -> Iterator[psutil.Process]:
    """A process that has said ``lines`` lines, so is past its first steps."""
    argv = [sys.executable, "-c", script]
    with subprocess.Popen(argv, stdout=subprocess.PIPE, env={**os.environ, RUN_VARIABLE: run}) as popen:
        assert popen.stdout is not None
        for _ in range(lines):
            popen.stdout.readline()
        process = psutil.Process(popen.pid)
        try:
            yield process
        finally:
            kill([process])


def test_a_process_is_found_until_it_ends() -> None:
    with running(IDLE) as process:
        who = Identity.of(process)
        assert who.find() == process
        process.kill()
        # Not yet collected: its number is still there, the process is not.
        wait_until(lambda: not is_alive(process), "the end of the process")
        assert who.find() is None


def test_a_number_that_went_to_another_process_is_not_found() -> None:
    own = Identity.own()
    assert own.find() is not None
    assert Identity(own.pid, own.created - 3600).find() is None
    assert Identity(own.pid, own.created, own.boot, own.uptime - 3600).find() is None
    assert Identity(own.pid, own.created - 3600, "an earlier boot", own.uptime).find() is None


def test_a_process_is_found_after_the_clock_was_set() -> None:
    own = Identity.own()
    assert Identity(own.pid, own.created - 3600, own.boot, own.uptime).find() is not None


def test_what_is_written_is_read_back_also_that_of_an_earlier_release() -> None:
    own = Identity.own()
    assert Identity.read(own.as_json()) == own
    earlier = Identity.read({"pid": own.pid, "created": own.created})
    assert earlier.find() is not None


def test_ending_is_asked_for_first() -> None:
    with running(IDLE) as process:
        end(process, signal.SIGTERM, grace_s=30)
        # Ended, and left for its parent to collect.
        assert process in psutil.Process().children()
        assert process.wait() == -signal.SIGTERM


def test_what_does_not_listen_is_killed_after_its_grace() -> None:
    with running(DEAF) as process:
        begin = time.monotonic()
        end(process, signal.SIGTERM, grace_s=0.3)
        assert time.monotonic() - begin >= 0.3
        assert process.wait() == -signal.SIGKILL


def test_impatience_ends_the_waiting() -> None:
    with running(DEAF) as process:
        end(process, signal.SIGTERM, grace_s=3600, impatient=lambda: True)
        assert process.wait() == -signal.SIGKILL


def test_what_it_started_goes_with_it() -> None:
    with running(PARENT, lines=2) as process:
        (child,) = process.children()
        end(process, signal.SIGTERM, grace_s=30)
        assert not is_alive(child)


def test_all_of_a_run_are_known_in_whatever_session() -> None:
    this, another = uuid4().hex, uuid4().hex
    with running(PARENT, lines=2, run=this) as process, running(IDLE, run=another):
        assert set(belonging_to(this)) == {process, *process.children()}
        kill(belonging_to(this))
        assert belonging_to(this) == []
        assert len(belonging_to(another)) == 1
