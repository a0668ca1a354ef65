"""Runs inputs of a target in processes, and notices one that crashes or never returns."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import psutil

from tests.fuzz.target import Target

#: A multiple of the usual number of inputs. Default: 1.
SCALE_VARIABLE = "LONGSHORE_FUZZ_SCALE"
#: When an input is taken for one that never returns, in seconds of a processor.
_HANG_S = 30.0
_POLL_S = 0.2


@dataclass(frozen=True)
class Finding:
    """An input that was neither read nor refused as it should be."""

    target: str
    #: Its number, from which it can be made again.
    input: int
    #: The exception and where it was raised, or how the process ended.
    kind: str
    message: str = ""

    def __str__(self) -> str:
        return f"{self.kind}: {self.message} (python -m tests.fuzz --target {self.target!r} --input {self.input})"


def input_count(usual: int) -> int:
    """The number of inputs to run for a target that usually runs ``usual`` of them, at least 1."""
    return max(1, round(usual * float(os.environ.get(SCALE_VARIABLE, "1"))))


def run(plan: Sequence[tuple[Target, int, int]]) -> Iterator[Finding]:
    """Run inputs, and return the findings.

    :param plan: targets, each with the number of its first input and how many there are.
    """
    total = sum(count for _, _, count in plan)
    with tempfile.TemporaryDirectory(prefix="longshore-fuzz-") as folder:
        report = Path(folder) / "report"
        report.touch()
        Path(f"{report}.plan").write_text(json.dumps([(target.name, first, count) for target, first, count in plan]))
        position = Path(f"{report}.at")
        at = 0
        while at < total:
            position.write_text(f"{at:20}")
            kind = _run_process(at, report, position)
            if kind is None:
                break
            at = int(position.read_text())
            target, number = _locate(plan, at)
            yield Finding(target.name, number, kind)
            at += 1
        for line in report.read_text().splitlines():
            yield Finding(**json.loads(line))


def _locate(plan: Sequence[tuple[Target, int, int]], at: int) -> tuple[Target, int]:
    """The target and the number of the input at a position of a plan."""
    for target, first, count in plan:
        if at < count:
            return target, first + at
        at -= count
    return plan[-1][0], -1  # it ended after its inputs


def _processor_seconds(pid: int) -> float:
    try:
        times = psutil.Process(pid).cpu_times()
    except psutil.NoSuchProcess:
        return 0.0
    return times.user + times.system


def _run_process(start: int, report: Path, position: Path) -> str | None:
    """How a process ended, if it did not run all inputs."""
    # Arrow's own allocator reserves more address space than the limit of a process.
    environment = {**os.environ, "ARROW_DEFAULT_MEMORY_POOL": "system", "OMP_NUM_THREADS": "1", "RUST_BACKTRACE": "0"}
    command = [sys.executable, "-m", "tests.fuzz.process", str(report), str(start)]
    log = Path(f"{report}.log")
    with log.open("wb") as output, subprocess.Popen(command, env=environment, stdout=output, stderr=output) as process:
        reached, since = "", 0.0
        while process.poll() is None:
            used = _processor_seconds(process.pid)
            if (now := position.read_text()) != reached:
                reached, since = now, used
            elif used - since > _HANG_S:
                process.kill()
                process.wait()
                return f"never returns ({_HANG_S:g} s)"
            time.sleep(_POLL_S)
    if process.returncode == 0:
        return None
    ending = signal.Signals(-process.returncode).name if process.returncode < 0 else f"exit {process.returncode}"
    return f"ends the process: {ending} {log.read_text('utf-8', 'replace')[-300:]!r}"
