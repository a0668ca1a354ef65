"""When a process that ends, or cannot be started, is started again."""

from __future__ import annotations

import logging
import os
import shutil
import sys
from pathlib import Path

import pytest

from longshore.broker.embedded.home import Home
from longshore.broker.embedded.process import supervisor
from longshore.broker.embedded.process.processes import Children, Command
from longshore.broker.embedded.process.record import record_file
from longshore.broker.embedded.process.signals import StopSignals
from longshore.broker.embedded.process.supervisor import ServiceSupervisor

#: Seconds, for a test.
SHORTEST_S, LONGEST_S = 0.01, 0.05


@pytest.fixture
def children(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture) -> Children:
    monkeypatch.setattr(supervisor, "MIN_RESTART_DELAY_S", SHORTEST_S)
    monkeypatch.setattr(supervisor, "MAX_RESTART_DELAY_S", LONGEST_S)
    caplog.set_level(logging.WARNING)
    home = Home(tmp_path / "home")
    home.prepare()
    return Children(home, "a run")


def end_at_once(children: Children) -> None:
    """Start a process that has ended when this returns."""
    command = Command(name="redis", argv=(sys.executable, "-c", "raise SystemExit(3)"), environ=dict(os.environ))
    children.start(command).popen.wait()


def delays(children: Children, caplog: pytest.LogCaptureFixture, count: int) -> list[float]:
    """Before the first starts, as the log names them."""
    with StopSignals() as stop:
        ServiceSupervisor(children, ()).watch(stop, lambda: len(caplog.records) >= count)
    return [float(record.getMessage().split(" again in ")[1].removesuffix(" s")) for record in caplog.records]


def test_a_process_that_ends_again_and_again_is_started_after_longer_delays(
    children: Children, caplog: pytest.LogCaptureFixture
) -> None:
    end_at_once(children)
    assert delays(children, caplog, 5) == [0.01, 0.02, 0.04, 0.05, 0.05]
    assert {record.getMessage().partition(";")[0] for record in caplog.records} == {"redis ended with code 3"}


def test_a_start_that_fails_is_one_more_end(
    children: Children, caplog: pytest.LogCaptureFixture, tmp_path: Path
) -> None:
    end_at_once(children)
    shutil.rmtree(record_file(Home(tmp_path / "home")).parent)  # no process can be recorded, as on a full disk
    assert delays(children, caplog, 4) == [0.01, 0.02, 0.04, 0.05]
    assert all("processes.json" in record.getMessage() for record in caplog.records[1:])
