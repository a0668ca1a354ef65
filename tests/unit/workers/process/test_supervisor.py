"""The environment of a worker's process."""

from __future__ import annotations

from pathlib import Path

import pytest

from longshore.shared.devices import DeviceSlot
from longshore.workers.process.settings import WorkerSettings
from longshore.workers.process.supervisor import GOMP_SPIN_COUNT, MALLOC_SETTINGS, worker_environment

SETTINGS = WorkerSettings(name="any", device="cpu", threads=1)


def slot() -> DeviceSlot:
    return DeviceSlot(name="cpu:0", queue="cpu", cores=(0, 1), threads=2)


def test_a_worker_is_made_fast_and_told_its_threads() -> None:
    found = worker_environment(slot(), "cpu:0@here", SETTINGS, {"HOME": "/nowhere", "OMP_NUM_THREADS": "64"})
    assert found["HOME"] == "/nowhere"
    assert found["LONGSHORE_WORKER_NAME"] == "cpu:0@here"
    assert found["OMP_NUM_THREADS"] == "2"
    assert found["GOMP_SPINCOUNT"] == GOMP_SPIN_COUNT
    assert {name: found[name] for name in MALLOC_SETTINGS} == MALLOC_SETTINGS


@pytest.mark.parametrize("name", [*MALLOC_SETTINGS, "GOMP_SPINCOUNT"])
def test_what_is_set_where_it_is_started_stays(name: str) -> None:
    assert worker_environment(slot(), "cpu:0@here", SETTINGS, {name: "12345"})[name] == "12345"


def test_threads_wait_as_they_would_alone_where_vllm_is_installed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "vllm").mkdir()
    (tmp_path / "vllm" / "__init__.py").touch()
    monkeypatch.syspath_prepend(str(tmp_path))
    assert "GOMP_SPINCOUNT" not in worker_environment(slot(), "cpu:0@here", SETTINGS, {})


def test_threads_that_are_told_how_to_wait_are_not_told_twice() -> None:
    found = worker_environment(slot(), "cpu:0@here", SETTINGS, {"OMP_WAIT_POLICY": "PASSIVE"})
    assert found["OMP_WAIT_POLICY"] == "PASSIVE"
    assert "GOMP_SPINCOUNT" not in found
