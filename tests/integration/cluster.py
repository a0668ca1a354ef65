"""A relay and workers as real processes, for the tests that need them."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import psutil

from longshore.producers import AsyncClient, Client
from longshore.shared.ledger.ledger import Ledger
from longshore.shared.ledger.roles.rights import Role
from longshore.shared.settings import Settings
from tests.integration.logins import as_role, make_logins
from tests.integration.support import migrated_database
from tests.waiting import TIMEOUT_S, wait_until

#: Seconds the supervisor and the relay get to stop before they are killed, and the test run fails.
STOP = 45.0


class Cluster:
    """The processes of one cluster, each with its log in ``folder`` and the login of its role.

    :param settings: where its services are, as an administrator; the processes get them by their environment.
    :param devices: as ``longshore worker --devices`` takes them.
    :param environment: more variables for the processes.
    """

    def __init__(self, settings: Settings, folder: Path, devices: str, environment: Mapping[str, str]) -> None:
        self.settings = settings
        self.ledger = Ledger(settings.database_url, "longshore tests")
        self.folder = folder
        self._devices = devices
        inherited = {key: value for key, value in os.environ.items() if not key.startswith("LONGSHORE_")}
        # A worker that is killed leaves folders of Python's behind.
        temporary = folder / "temporary"
        temporary.mkdir()
        own = {**as_role(settings, Role.OPERATOR).environment(), "PYTHONSAFEPATH": "1", "TMPDIR": str(temporary)}
        self.environment = {**inherited, **own, **environment}
        self._processes: dict[str, subprocess.Popen[bytes]] = {}
        #: Whether a test has killed a process, or knows the ids by which to kill one.
        self._disturbed = False
        #: Bytes of each log that are of modules before this one.
        self._log_start: dict[str, int] = {}

    @property
    def disturbed(self) -> bool:
        """Whether this is not the same as a new cluster: a test may have killed a process of it, or has stopped one and
        not started it again. The child of a worker may be killed: the worker replaces it.
        """
        return self._disturbed or self._processes.keys() != {"relay", "workers"}

    def begin(self) -> None:
        """Check for a module that all processes are at work, and begin its logs."""
        self.wait_for_workers()
        self._log_start = {name: self._log_path(name).stat().st_size for name in self._processes}

    def start_relay(self) -> None:
        """Start the relay; it leads a moment later."""
        self._start("relay", *_module("longshore.broker.relay"), role=Role.RELAY)

    def start_workers(self) -> None:
        """Start the supervisor, and return when every device has a worker that takes messages."""
        self._start("workers", *_module("longshore.workers.process.supervisor"), "--devices", self._devices)
        self.wait_for_workers()

    def stop_relay(self) -> None:
        """Stop the relay by SIGTERM."""
        self._stop("relay")

    def kill_relay(self) -> None:
        """End the relay by SIGKILL."""
        self._disturbed = True
        process = self._processes.pop("relay")
        process.kill()
        process.wait()

    def stop_workers(self) -> None:
        """Stop the supervisor and its workers by SIGTERM."""
        self._stop("workers")

    def kill_supervisor(self) -> None:
        """End the supervisor of the workers by SIGKILL, and nothing else."""
        self._disturbed = True
        process = self._processes.pop("workers")
        process.kill()
        process.wait()

    @contextmanager
    def other_workers(
        self, command: Sequence[str], environment: Mapping[str, str] | None = None
    ) -> Iterator[subprocess.Popen[bytes]]:
        """Run a process beside the workers; stopped by SIGTERM at the end, if it is still there."""
        name = "other workers"
        self._start(name, *command, environment=environment or {})
        process = self._processes.pop(name)
        try:
            yield process
        finally:
            self._processes[name] = process
            self._stop(name)

    def restart_workers(self) -> None:
        """Stop all workers and start new ones."""
        self.stop_workers()
        self.start_workers()

    def wait_for_workers(self, *, other_than: Collection[int] = ()) -> None:
        """Until every worker that the supervisor has started is known to the ledger and takes messages.

        :param other_than: the pids of workers that were killed: others must have taken their places.
        """

        def ready() -> bool:
            for name, process in self._processes.items():
                assert process.poll() is None, f"{name} ended with {process.returncode}:\n{self.log(name)}"
            pids = set(self._worker_pids())
            known = {worker.pid for worker in self.ledger.workers.workers() if worker.alive}
            return bool(pids) and pids <= known and pids.isdisjoint(other_than)

        wait_until(ready, "the start of the workers")

    def worker_pids(self) -> list[int]:
        """The Celery parent of each device, as the supervisor has started it."""
        self._disturbed = True
        return self._worker_pids()

    def child_pids(self) -> list[int]:
        """The processes that compute: the pool child of each worker."""
        parents = [psutil.Process(pid) for pid in self._worker_pids()]
        children = [child for parent in parents for child in parent.children()]
        return [child.pid for child in children if any("spawn_main" in part for part in _command(child))]

    def client(self, producer: str | None = None) -> Client:
        """A producer's connection; to be closed by who asked for it."""
        return Client(**self._addresses(producer))

    def async_client(self, producer: str | None = None) -> AsyncClient:
        """As :meth:`client`."""
        return AsyncClient(**self._addresses(producer))

    def _addresses(self, producer: str | None) -> dict[str, str]:
        settings = as_role(self.settings, Role.OPERATOR)
        return {
            "redis_url": settings.redis_url,
            "database_url": settings.database_url,
            "store": settings.store,
            "producer": producer or self.settings.producer,
        }

    def log(self, name: str) -> str:
        """What ``relay`` or ``workers`` have written since the module began."""
        path = self._log_path(name)
        return path.read_bytes()[self._log_start.get(name, 0) :].decode(errors="replace") if path.exists() else ""

    def close(self) -> None:
        """Stop everything. Fails when a process of the cluster outlives that, after killing it."""
        try:
            for name in list(self._processes):
                self._stop(name)
        finally:
            self.ledger.close()
            left = self._survivors()
        assert not left, f"left behind, and killed now: {left}"

    def _worker_pids(self) -> list[int]:
        supervisor = self._processes.get("workers")
        if supervisor is None:
            return []
        children = psutil.Process(supervisor.pid).children()
        return [child.pid for child in children if "longshore.workers.process.main" in _command(child)]

    def _start(
        self, name: str, *command: str, environment: Mapping[str, str] | None = None, role: Role = Role.WORKER
    ) -> None:
        database_url = as_role(self.settings, role).database_url
        with self._log_path(name).open("ab") as log:
            self._processes[name] = subprocess.Popen(
                command,
                env={**self.environment, "LONGSHORE_DATABASE_URL": database_url, **(environment or {})},
                cwd=self.folder,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
            )

    def _stop(self, name: str) -> None:
        process = self._processes.pop(name, None)
        if process is None:
            return
        process.send_signal(signal.SIGTERM)
        try:
            process.wait(STOP)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
            raise AssertionError(f"{name} did not stop in {STOP:g} s:\n{self.log(name)}") from None

    def _log_path(self, name: str) -> Path:
        return self.folder / f"{name}.log"

    def _survivors(self) -> list[str]:
        """The command lines of processes with this cluster's environment; they are killed."""
        left = [process for process in psutil.process_iter() if self._is_ours(process)]
        # Orphans end by themselves, a moment after the worker whose children they are.
        _, left = psutil.wait_procs(left, timeout=STOP)
        lines = [" ".join(_command(process)) for process in left]
        for process in left:
            process.kill()
        psutil.wait_procs(left, timeout=TIMEOUT_S)
        return lines

    def _is_ours(self, process: psutil.Process) -> bool:
        try:
            return process.environ().get("LONGSHORE_STORE") == self.settings.store
        except psutil.Error:  # another user's, a zombie, or gone
            return False


@contextmanager
def cluster_on_redis(services: Settings, redis_url: str, folder: Path) -> Iterator[Cluster]:
    """A relay and a worker with a database and a store of their own, at another Redis.

    :param folder: for the store and the logs.
    """
    with migrated_database(services) as fresh:
        settings = replace(fresh, redis_url=redis_url, store=f"file://{folder}/store", home=None)
        make_logins(settings.database_url)
        logs = folder / "cluster"
        logs.mkdir()
        cluster = Cluster(settings, logs, "cpu", {})
        try:
            cluster.start_relay()
            cluster.start_workers()
            yield cluster
        finally:
            cluster.close()


def _module(name: str) -> tuple[str, ...]:
    return sys.executable, "-m", name


def _command(process: psutil.Process) -> list[str]:
    try:
        return process.cmdline()
    except psutil.Error:
        return []
