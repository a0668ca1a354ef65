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

log = logging.getLogger("longshore.supervisor")

#: Seconds before a worker that died is started again: the first time, and at most.
FIRST_PAUSE, LONGEST_PAUSE = 1.0, 30.0
#: A worker that has lived this long, in seconds, is started again at once when it dies.
SETTLED = 60.0
#: Seconds a worker has to hand back its shard, before it is killed and its lease runs out.
STOP_GRACE = 30.0
#: How long threads of one computation wait for each other before they sleep: some microseconds. Longer, and they take
#: the cores from those that read and write; not at all, and training small networks takes half as long again.
#: https://gcc.gnu.org/onlinedocs/libgomp/GOMP_005fSPINCOUNT.html
SPINS = "10000"
#: Bytes up to which memory that was given back is kept for the next batch, and from which it is never kept. By default
#: glibc returns the outputs of each layer to the kernel, which then has to clear pages for the same layer of the next.
#: https://sourceware.org/glibc/manual/latest/html_node/Memory-Allocation-Tunables.html
MEMORY = {"MALLOC_TRIM_THRESHOLD_": str(256 << 20), "MALLOC_MMAP_THRESHOLD_": str(128 << 20)}
#: Seconds between two looks at the workers.
LOOK = 0.2


@dataclass
class Place:
    """A device, and the worker that runs there now."""

    slot: DeviceSlot
    process: subprocess.Popen[bytes] | None = None
    started: float = 0.0
    pause: float = FIRST_PAUSE
    next_start: float = field(default_factory=time.monotonic)


class Supervisor:
    """Keeps a worker running on each of some devices."""

    def __init__(self, slots: tuple[DeviceSlot, ...], lease: float) -> None:
        self._places = [Place(slot) for slot in slots]
        self._lease = lease
        self._stopping = threading.Event()

    def stop(self) -> None:
        """Make :meth:`run` stop the workers and return."""
        self._stopping.set()

    def run(self) -> None:
        """Start the workers, and start again those that die, until :meth:`stop`."""
        try:
            while not self._stopping.is_set():
                for place in self._places:
                    self._look_after(place)
                self._stopping.wait(LOOK)
        finally:
            self._stop_all()

    def _look_after(self, place: Place) -> None:
        now = time.monotonic()
        if place.process is None:
            if now >= place.next_start:
                place.process, place.started = self._start(place.slot), now
        elif (status := place.process.poll()) is not None:
            if now - place.started > SETTLED:
                place.pause = FIRST_PAUSE
            log.warning("%s ended with status %d; starting it again in %g s", place.slot.name, status, place.pause)
            place.process, place.next_start = None, now + place.pause
            place.pause = min(2 * place.pause, LONGEST_PAUSE)

    def _start(self, slot: DeviceSlot) -> subprocess.Popen[bytes]:
        # A GPU worker also takes what asks for a CPU, after what asks for a GPU.
        queues = "cpu" if slot.queue == "cpu" else "gpu,cpu"
        command = [sys.executable, "-m", "longshore.workers.process.main", "--queues", queues, "--slot", slot.name]
        command += ["--cores", ",".join(map(str, slot.cores))]
        environment = worker_environment(slot, self._lease, os.environ)
        log.info("starting %s on cores %s", slot.name, ",".join(map(str, slot.cores)))
        # A session of its own: a Ctrl-C on the terminal is for the supervisor alone.
        return subprocess.Popen(command, env=environment, stdin=subprocess.DEVNULL, start_new_session=True)

    def _stop_all(self) -> None:
        running = [place for place in self._places if place.process is not None]
        for place in running:
            assert place.process is not None
            place.process.send_signal(signal.SIGTERM)
        deadline = time.monotonic() + STOP_GRACE
        for place in running:
            assert place.process is not None
            try:
                place.process.wait(max(0.0, deadline - time.monotonic()))
            except subprocess.TimeoutExpired:
                log.warning("%s did not stop in %g s; killing it", place.slot.name, STOP_GRACE)
                os.killpg(place.process.pid, signal.SIGKILL)
                place.process.wait()


def worker_environment(slot: DeviceSlot, lease: float, given: Mapping[str, str]) -> dict[str, str]:
    """What the process of a worker finds in its environment: what is ``given``, its own settings, and what makes it
    fast, unless that is given otherwise.
    """
    worker = WorkerSettings(
        name=f"{slot.name}@{socket.gethostname()}",
        device="cpu" if slot.cuda_index is None else "cuda:0",
        threads=slot.threads,
        devices=slot.devices,
        lease=lease,
    )
    fast = MEMORY if "OMP_WAIT_POLICY" in given else {**MEMORY, "GOMP_SPINCOUNT": SPINS}
    # PyTorch is told its threads; the libraries under NumPy and Arrow read theirs from here.
    threads = {"OMP_NUM_THREADS": str(slot.threads)}
    return {**fast, **given, **worker.environment(), "CUDA_VISIBLE_DEVICES": slot.cuda_visible, **threads}


def main() -> int:
    """Supervise until SIGTERM or SIGINT."""
    parser = argparse.ArgumentParser(prog="longshore worker")
    parser.add_argument("--devices", default="auto")
    options = parser.parse_args()
    configure_logging()
    try:
        load_settings()  # a cluster that cannot be found is said once, here, and not by every worker
        supervisor = Supervisor(parse_devices(options.devices, detect_machine()), lease_seconds())
    except LongshoreError as error:
        sys.stderr.write(f"{error}\n")
        return error.exit_code
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: supervisor.stop())
    supervisor.run()
    return 0


if __name__ == "__main__":
    sys.exit(main())
