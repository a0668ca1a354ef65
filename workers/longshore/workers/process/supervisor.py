"""The process behind ``longshore worker``: one worker for each device, started again when it dies."""

from __future__ import annotations

import argparse
import logging
import os
import signal
import subprocess
import sys
import time
from collections.abc import Collection, Mapping
from contextlib import suppress
from dataclasses import dataclass, field, replace
from importlib.util import find_spec

from longshore.broker.logs import configure_logging
from longshore.broker.monitoring.address import PORT_VARIABLE, MetricsAddress, metrics_address
from longshore.shared.devices import DeviceSlot, detect_machine, parse_devices
from longshore.shared.errors import LongshoreError
from longshore.shared.ledger.database import Database
from longshore.shared.settings import Process, load_settings
from longshore.shared.signal_event import SignalEvent
from longshore.workers.process.names import WorkerNames
from longshore.workers.process.parent_end import PARENT_VARIABLE
from longshore.workers.process.settings import WorkerSettings
from longshore.workers.process.watchdog.board import SUPERVISOR_BOARD_VARIABLE, Board

log = logging.getLogger("longshore.workers.process.supervisor")

#: Seconds before a worker that died is started again: the first time, and at most.
MIN_RESTART_DELAY_S, MAX_RESTART_DELAY_S = 1.0, 30.0
#: A worker that has lived this long, in seconds, is started again at once when it dies.
SETTLED_AFTER_S = 60.0
#: The statuses with which a worker ends that was told to stop by somebody else: no failure, so the next comes at once.
STOPPED = (0, -signal.SIGTERM)
#: Seconds after the grace in which a worker ends, before it is killed.
STOP_MARGIN_S = 5.0
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
#: A check that comes later than this, in seconds, counts as this late.
MAX_STEP_S = 1.0


@dataclass
class WorkerProcess:
    """A device, and the worker that runs there now."""

    slot: DeviceSlot
    #: See :class:`~longshore.workers.process.names.WorkerNames`.
    name: str
    #: Where it serves its metrics.
    metrics: MetricsAddress | None = None
    process: subprocess.Popen[bytes] | None = None
    started: float = 0.0
    restart_delay: float = MIN_RESTART_DELAY_S
    next_start: float = field(default_factory=time.monotonic)
    #: Where it shows that it goes on, the last number there, and for how many seconds that has been the same.
    board: Board = field(default_factory=Board.private)
    pulse: int = 0
    silent_s: float = 0.0


class WorkerSupervisor:
    """Keeps a worker running on each of some devices.

    :param settings: of all workers; each gets a name and a device of its own.
    :param names: gives the workers their names.
    :param metrics: where a relay of this machine serves its metrics; the workers take the next ports.
    :raises InvalidInput: one of these ports is taken.
    """

    def __init__(
        self,
        slots: tuple[DeviceSlot, ...],
        settings: WorkerSettings,
        names: WorkerNames,
        metrics: MetricsAddress | None = None,
    ) -> None:
        addresses = [None if metrics is None else metrics.of_worker(number) for number in range(len(slots))]
        for address in addresses:
            if address is not None:
                address.check_free()
        self._workers = [
            WorkerProcess(slot, names.take(slot.name), address) for slot, address in zip(slots, addresses, strict=True)
        ]
        self._settings = settings
        self._stopping = SignalEvent()
        self._last_check = time.monotonic()

    def stop(self) -> None:
        """Make :meth:`run` stop the workers and return."""
        self._stopping.set()

    def run(self) -> None:
        """Start the workers, and start again those that die, until :meth:`stop`."""
        try:
            while not self._stopping.is_set():
                now = time.monotonic()
                # If this process was frozen, so were the workers, perhaps.
                step, self._last_check = min(now - self._last_check, MAX_STEP_S), now
                for worker in self._workers:
                    self._check_worker(worker)
                    self._check_pulse(worker, step)
                reap_orphans({worker.process.pid for worker in self._workers if worker.process is not None})
                self._stopping.wait(POLL_INTERVAL_S)
        finally:
            self._stop_all()

    def _check_worker(self, worker: WorkerProcess) -> None:
        now = time.monotonic()
        if worker.process is None:
            if now >= worker.next_start:
                worker.board.close()
                worker.board, worker.silent_s = Board.create(), 0.0
                worker.process, worker.started = self._start(worker), now
        elif (status := worker.process.poll()) is not None:
            if now - worker.started > SETTLED_AFTER_S or status in STOPPED:
                worker.restart_delay = MIN_RESTART_DELAY_S
            log.warning("%s ended with status %d; starting it again in %g s", worker.name, status, worker.restart_delay)
            worker.process, worker.next_start = None, now + worker.restart_delay
            worker.restart_delay = min(2 * worker.restart_delay, MAX_RESTART_DELAY_S)

    def _check_pulse(self, worker: WorkerProcess, step: float) -> None:
        """Kill a worker whose parent is frozen: nobody watches its child, and it takes no messages."""
        if worker.process is None or worker.board.pulse == 0:
            return
        worker.silent_s = worker.silent_s + step if worker.board.pulse == worker.pulse else 0.0
        worker.pulse = worker.board.pulse
        if worker.silent_s > self._settings.stall_timeout:
            log.warning("%s did not answer for %g s; killing it", worker.name, self._settings.stall_timeout)
            with suppress(ProcessLookupError):
                os.killpg(worker.process.pid, signal.SIGKILL)

    def _start(self, worker: WorkerProcess) -> subprocess.Popen[bytes]:
        slot = worker.slot
        # A GPU worker also takes jobs for CPUs, after jobs for GPUs.
        queues = "cpu" if slot.queue == "cpu" else "gpu,cpu"
        command = [sys.executable, "-m", "longshore.workers.process.main", "--queues", queues, "--slot", slot.name]
        command += ["--cores", ",".join(map(str, slot.cores))]
        environment = {
            **worker_environment(slot, worker.name, self._settings, os.environ),
            PARENT_VARIABLE: str(os.getpid()),
            SUPERVISOR_BOARD_VARIABLE: str(worker.board.path),
        }
        if worker.metrics is not None:
            environment[PORT_VARIABLE] = str(worker.metrics.port)
        log.info("starting %s on cores %s", worker.name, ",".join(map(str, slot.cores)))
        # A session of its own: only the supervisor gets a Ctrl-C of the terminal.
        return subprocess.Popen(command, env=environment, stdin=subprocess.DEVNULL, start_new_session=True)

    def _stop_all(self) -> None:
        running = [worker for worker in self._workers if worker.process is not None]
        for worker in running:
            assert worker.process is not None
            worker.process.send_signal(signal.SIGTERM)
        timeout_s = self._settings.grace + STOP_MARGIN_S
        deadline = time.monotonic() + timeout_s
        for worker in running:
            assert worker.process is not None
            try:
                worker.process.wait(max(0.0, deadline - time.monotonic()))
            except subprocess.TimeoutExpired:
                log.warning("%s did not stop in %g s; killing it", worker.name, timeout_s)
                os.killpg(worker.process.pid, signal.SIGKILL)
                worker.process.wait()
        for worker in self._workers:
            worker.board.close()


def reap_orphans(own: Collection[int]) -> None:
    """Collect the ends of processes that are no children of ours: as process 1 of a container, the supervisor becomes
    the parent of every process whose own parent has ended.

    :param own: the processes that somebody else waits for.
    """
    while True:
        try:
            ended = os.waitid(os.P_ALL, 0, os.WEXITED | os.WNOHANG | os.WNOWAIT)
        except ChildProcessError:
            return
        if ended is None or ended.si_pid in own:
            return
        os.waitpid(ended.si_pid, os.WNOHANG)


def worker_environment(
    slot: DeviceSlot, name: str, settings: WorkerSettings, environ: Mapping[str, str]
) -> dict[str, str]:
    """The environment of a worker process: ``environ``, the settings of the worker, and variables that make it fast,
    unless ``environ`` sets them.
    """
    worker = replace(
        settings,
        name=name,
        device="cpu" if slot.cuda_index is None else "cuda:0",
        threads=slot.threads,
        devices=slot.devices,
    )
    # vLLM computes in steps of many small operations: with so short a wait it writes a tenth fewer tokens.
    waits = {} if "OMP_WAIT_POLICY" in environ or find_spec("vllm") else {"GOMP_SPINCOUNT": GOMP_SPIN_COUNT}
    # The worker sets PyTorch's threads; the libraries under NumPy and Arrow read the second one.
    device = {"CUDA_VISIBLE_DEVICES": slot.cuda_visible, "OMP_NUM_THREADS": str(slot.threads)}
    return {**MALLOC_SETTINGS, **waits, **environ, **worker.environment(), **device}


def main() -> int:
    """Supervise until SIGTERM or SIGINT."""
    parser = argparse.ArgumentParser(prog="longshore worker")
    parser.add_argument("--devices", default="auto")
    parser.add_argument("--grace", type=float)
    options = parser.parse_args()
    configure_logging()
    try:
        cluster = load_settings(process=Process.SERVICES)  # reported once, here, and not in every worker
        settings = WorkerSettings.load()
        if options.grace is not None:
            settings = replace(settings, grace=options.grace)
        names = WorkerNames(Database(cluster.database_url).address)
        slots = parse_devices(options.devices, detect_machine())
        supervisor = WorkerSupervisor(slots, settings, names, metrics_address())
    except LongshoreError as error:
        sys.stderr.write(f"{error}\n")
        return error.exit_code
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: supervisor.stop())
    supervisor.run()
    return 0


if __name__ == "__main__":
    sys.exit(main())
