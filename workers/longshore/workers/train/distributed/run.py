"""Runs a training on several devices from the worker's child: starts the processes, follows them and ends them."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO

import psutil

from longshore.shared.errors import InvalidInput
from longshore.shared.ledger.records import Claim
from longshore.shared.ledger.workers import joined
from longshore.shared.specs.train import TrainSpec
from longshore.workers.process.draining import HandBack
from longshore.workers.process.settings import WorkerSettings
from longshore.workers.train.callbacks import Check
from longshore.workers.train.distributed.failures import attempt_error
from longshore.workers.train.distributed.launch_spec import LaunchSpec, write_launch_spec
from longshore.workers.train.distributed.progress import read_progress
from longshore.workers.train.distributed.result import read_result
from longshore.workers.train.loop.result import TrainedModel

#: Seconds between two checks of the processes and their progress.
_POLL_INTERVAL_S = 0.1
#: Seconds in which killed processes must have ended.
_KILL_TIMEOUT_S = 10.0


def plan_launch(
    claim: Claim,
    spec: TrainSpec,
    worker: WorkerSettings,
    most: Callable[[], int | None],
    state: Path | None = None,
    last: str | None = None,
) -> LaunchSpec:
    """Plan a training on several devices.

    On CPUs the worker runs as many processes as the job asks for, and divides its threads among them.

    :param most: returns the devices of the largest worker that takes such jobs.
    :param state: the checkpoint to resume from; ``last`` is its name.
    :raises HandBack: the worker has fewer GPUs, and another has enough.
    :raises InvalidInput: no worker has enough devices.
    """
    on_gpus = worker.device != "cpu" and spec.devices <= worker.devices
    if not on_gpus and worker.device != "cpu" and claim.queue != "cpu":
        if (most() or 0) >= spec.devices:
            raise HandBack(f"{worker.name} has fewer than {spec.devices} GPUs")
        has = "one GPU" if worker.devices == 1 else f"{worker.devices} GPUs"
        raise InvalidInput(
            "devices",
            f"{spec.devices}: {worker.name}, which took the job, has {has}, and no other has enough; ask for "
            f"fewer, or start one: longshore worker --devices {joined(spec.devices)}",
        )
    return LaunchSpec(
        claim=claim,
        devices=spec.devices,
        device="cuda" if on_gpus else "cpu",
        threads=max(1, worker.threads // spec.devices),
        state=state,
        last=last,
    )


def train_on_devices(
    launch: LaunchSpec, spec: TrainSpec, progress: Callable[[int], None], check: Check
) -> TrainedModel:
    """Train in the processes that ``launch`` plans. All of them have ended when this returns or raises.

    :param progress: called with the epochs that are done. Rank 0 writes metrics and checkpoints.
    :param check: an error that it raises ends the processes.
    :raises InvalidInput: as for :func:`~longshore.workers.train.loop.trainer.train`.
    :raises ProcessFailed: a process was killed, or broke.
    """
    with tempfile.TemporaryDirectory(prefix="longshore-", ignore_cleanup_errors=True) as name:
        folder = Path(name)
        write_launch_spec(launch, folder)
        with _launch(launch, folder) as launcher:
            while True:
                check()
                progress(read_progress(folder))
                with suppress(subprocess.TimeoutExpired):
                    status = launcher.wait(_POLL_INTERVAL_S)
                    break
        if status:
            raise attempt_error(folder, launch.devices)
        return read_result(spec, folder)


@contextmanager
def _launch(launch: LaunchSpec, folder: Path) -> Iterator[subprocess.Popen[bytes]]:
    """Start the launcher. At the end it and every process that it started have ended."""
    command = [sys.executable, "-m", "longshore.workers.train.distributed.launcher", str(folder)]
    # Temporary files are removed with the folder, even if the processes are killed.
    environment = {**os.environ, "OMP_NUM_THREADS": str(launch.threads), "TMPDIR": str(folder)}
    # A session of its own, as a worker has; the pipe ends it with this process.
    launcher = subprocess.Popen(
        command,
        env=environment,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        start_new_session=True,
    )
    assert launcher.stdin is not None
    assert launcher.stdout is not None
    output = threading.Thread(target=_repeat, args=(launcher.stdout,), name="output of ranks", daemon=True)
    output.start()
    try:
        yield launcher
    finally:
        # Processes that have just started and are missing here end when the pipe closes.
        started = _descendants(launcher.pid)
        launcher.stdin.close()
        for process in started:
            with suppress(psutil.NoSuchProcess):
                process.kill()
        launcher.kill()
        launcher.wait()
        psutil.wait_procs(started, timeout=_KILL_TIMEOUT_S)
        output.join(_KILL_TIMEOUT_S)


def _repeat(output: IO[bytes]) -> None:
    """Print what the processes print: it belongs to the log of the attempt."""
    with output:
        for line in output:
            sys.stderr.write(line.decode(errors="replace"))


def _descendants(pid: int) -> list[psutil.Process]:
    with suppress(psutil.NoSuchProcess):
        return psutil.Process(pid).children(recursive=True)
    return []
