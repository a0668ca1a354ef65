"""The process behind ``longshore worker``: one worker for each device, started again when it dies."""

from __future__ import annotations

import argparse
import logging
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Mapping
from dataclasses import dataclass, field

from longshore.broker.logs import configure_logging
from longshore.shared.errors import LongshoreError
from longshore.shared.settings import load_settings
from longshore.workers.process.devices import DeviceSlot, detect_machine, parse_devices
from longshore.workers.process.settings import WorkerSettings, lease_seconds

log = logging.getLogger("longshore.workers.process.supervisor")

#: Seconds before a worker that died is started again: the first time, and at most.
MIN_RESTART_DELAY_S, MAX_RESTART_DELAY_S = 1.0, 30.0
#: A worker that has lived this long, in seconds, is started again at once when it dies.
SETTLED_AFTER_S = 60.0
#: Seconds a worker has to hand back its shard, before it is killed and its lease runs out.
STOP_TIMEOUT_S = 30.0
#: How often the threads of one computation spin before they sleep, which takes some microseconds. With more, they take
#: the cores from the threads that read and write; with none, small networks train half as long again.
#: https://gcc.gnu.org/onlinedocs/libgomp/GOMP_005fSPINCOUNT.html
GOMP_SPIN_COUNT = "10000"
#: In bytes: freed memory up to the first is kept for the next batch; blocks above the second are never kept. By default
#: glibc returns the outputs of each layer to the kernel, which then has to clear pages for the same layer of the next.
#: https://sourceware.org/glibc/manual/latest/html_node/Memory-Allocation-Tunables.html
MALLOC_SETTINGS = {"MALLOC_TRIM_THRESHOLD_": str(256 << 20), "MALLOC_MMAP_THRESHOLD_": str(128 << 20)}
#: Seconds between two checks of the workers.
POLL_INTERVAL_S = 0.2


@dataclass
class WorkerProcess:
    """A device, and the worker that runs there now."""

    slot: DeviceSlot
    process: subprocess.Popen[bytes] | None = None
    started: float = 0.0
    restart_delay: float = MIN_RESTART_DELAY_S
    next_start: float = field(default_factory=time.monotonic)


class WorkerSupervisor:
    """Keeps a worker running on each of some devices."""

    def __init__(self, slots: tuple[DeviceSlot, ...], lease: float) -> None:
        self._workers = [WorkerProcess(slot) for slot in slots]
        self._lease = lease
        self._stopping = threading.Event()

    def stop(self) -> None:
        """Make :meth:`run` stop the workers and return."""
        self._stopping.set()

    def run(self) -> None:
        """Start the workers, and start again those that die, until :meth:`stop`."""
        try:
            while not self._stopping.is_set():
                for worker in self._workers:
                    self._check_worker(worker)
                self._stopping.wait(POLL_INTERVAL_S)
        finally:
            self._stop_all()

    def _check_worker(self, worker: WorkerProcess) -> None:
        now = time.monotonic()
        if worker.process is None:
            if now >= worker.next_start:
                worker.process, worker.started = self._start(worker.slot), now
        elif (status := worker.process.poll()) is not None:
            if now - worker.started > SETTLED_AFTER_S:
                worker.restart_delay = MIN_RESTART_DELAY_S
            log.warning(
                "%s ended with status %d; starting it again in %g s", worker.slot.name, status, worker.restart_delay
            )
            worker.process, worker.next_start = None, now + worker.restart_delay
            worker.restart_delay = min(2 * worker.restart_delay, MAX_RESTART_DELAY_S)

    def _start(self, slot: DeviceSlot) -> subprocess.Popen[bytes]:
        # A GPU worker also takes jobs for CPUs, after jobs for GPUs.
        queues = "cpu" if slot.queue == "cpu" else "gpu,cpu"
        command = [sys.executable, "-m", "longshore.workers.process.main", "--queues", queues, "--slot", slot.name]
        command += ["--cores", ",".join(map(str, slot.cores))]
        environment = worker_environment(slot, self._lease, os.environ)
        log.info("starting %s on cores %s", slot.name, ",".join(map(str, slot.cores)))
        # A session of its own: only the supervisor gets a Ctrl-C of the terminal.
        return subprocess.Popen(command, env=environment, stdin=subprocess.DEVNULL, start_new_session=True)

    def _stop_all(self) -> None:
        running = [worker for worker in self._workers if worker.process is not None]
        for worker in running:
            assert worker.process is not None
            worker.process.send_signal(signal.SIGTERM)
        deadline = time.monotonic() + STOP_TIMEOUT_S
        for worker in running:
            assert worker.process is not None
            try:
                worker.process.wait(max(0.0, deadline - time.monotonic()))
            except subprocess.TimeoutExpired:
                log.warning("%s did not stop in %g s; killing it", worker.slot.name, STOP_TIMEOUT_S)
                os.killpg(worker.process.pid, signal.SIGKILL)
                worker.process.wait()


def worker_environment(slot: DeviceSlot, lease: float, environ: Mapping[str, str]) -> dict[str, str]:
    """The environment of a worker process: ``environ``, the settings of the worker, and variables that make it fast,
    unless ``environ`` sets them.
    """
    worker = WorkerSettings(
        name=f"{slot.name}@{socket.gethostname()}",
        device="cpu" if slot.cuda_index is None else "cuda:0",
        threads=slot.threads,
        devices=slot.devices,
        lease=lease,
    )
    fast = MALLOC_SETTINGS if "OMP_WAIT_POLICY" in environ else {**MALLOC_SETTINGS, "GOMP_SPINCOUNT": GOMP_SPIN_COUNT}
    # The worker sets PyTorch's threads; the libraries under NumPy and Arrow read this variable.
    threads = {"OMP_NUM_THREADS": str(slot.threads)}
    return {**fast, **environ, **worker.environment(), "CUDA_VISIBLE_DEVICES": slot.cuda_visible, **threads}


def main() -> int:
    """Supervise until SIGTERM or SIGINT."""
    parser = argparse.ArgumentParser(prog="longshore worker")
    parser.add_argument("--devices", default="auto")
    options = parser.parse_args()
    configure_logging()
    try:
        load_settings()  # report a cluster that is missing once, here, and not in every worker
        supervisor = WorkerSupervisor(parse_devices(options.devices, detect_machine()), lease_seconds())
    except LongshoreError as error:
        sys.stderr.write(f"{error}\n")
        return error.exit_code
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: supervisor.stop())
    supervisor.run()
    return 0


if __name__ == "__main__":
    sys.exit(main())
