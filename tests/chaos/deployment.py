"""A whole deployment for the faults: Redis, Postgres, two relays, two workers, and proxies before both services."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import replace
from pathlib import Path
from urllib.parse import urlsplit

import psutil
import psycopg
import redis

from longshore.broker import embedded
from longshore.shared.settings import Process, Settings, load_settings
from tests.chaos.disks import Disk, disks_can_be_made
from tests.chaos.shim import Shim, shim_can_be_made
from tests.tcp_proxy import TcpProxy
from tests.waiting import wait_until

#: Seconds from the last renewal to the loss of an attempt.
LEASE_S = 5.0
#: Seconds between the end of a process and its next start, as a service manager would wait.
RESTART_DELAY_S = 0.5
#: Sizes of the disks of the store, and of Redis and Postgres.
STORE_BYTES, SERVICES_BYTES = 2 << 30, 24 << 30
#: The processes that run all the time, with the modules behind the commands that start them.
PROCESSES = {
    "relay-a": ("longshore.broker.relay",),
    "relay-b": ("longshore.broker.relay",),
    "workers": ("longshore.workers.process.supervisor", "--devices", "cpu:2"),
}
#: The machines of the processes; all others are on that of the producers.
MACHINE_OF = {"relay-a": "relays", "relay-b": "relays", "workers": "workers"}
#: Starts Redis and Postgres.
UP = """
import sys
from pathlib import Path
from longshore.broker import embedded

embedded.up(Path(sys.argv[1]), detach=True, services=())
"""


class Deployment:
    """The services and the processes, each of which is started again when it ends.

    :param folder: for the home, the store, the data and the logs. Postgres' user must be able to pass through it.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        # Where tests/integration/keeper.py looks for what a run that was killed has left.
        self.store = folder / "clusters" / "store"
        self.data = folder / "data"
        self.outputs = folder / "outputs"
        #: Where the store, and where Redis and Postgres write, if this user may mount.
        self.store_disk: Disk | None = None
        self.services_disk: Disk | None = None
        self.store.parent.mkdir()
        if disks_can_be_made():
            self.store_disk = Disk(self.store, folder / "store.img", STORE_BYTES)
            self.services_disk = Disk(folder / "home", folder / "services.img", SERVICES_BYTES)
        for path in (self.store, self.data, self.outputs, folder / "logs", folder / "temporary"):
            path.mkdir(exist_ok=True)
        #: Sets the clocks of the processes and slows the store, if there is a C compiler.
        self.shim = Shim(folder / "shim", self.store) if shim_can_be_made() else None
        command = [sys.executable, "-P", "-c", UP, str(folder / "home")]
        subprocess.run(command, env=None if self.shim is None else self.shim.services_environment(), check=True)
        #: The addresses of the services themselves, which no fault of the network touches, as the administrator.
        self.direct = self._addresses(Process.OWNER)
        self.redis_proxy = _proxy(self.direct.redis_url)
        self.postgres_proxy = _proxy(self.direct.database_url)
        #: The addresses that producers use, and those of the relays and workers.
        self.settings = self._through_proxies(self._addresses(Process.PRODUCER))
        self._services = self._through_proxies(self._addresses(Process.SERVICES))
        self._running: dict[str, subprocess.Popen[bytes]] = {}
        self._commands: dict[str, tuple[str, ...]] = {}
        self._lock = threading.Lock()
        self._stopping = threading.Event()
        self._keeper = threading.Thread(target=self._keep, name="restarts", daemon=True)

    def start(self) -> None:
        """Start the relays and the workers."""
        self._keeper.start()
        for name, command in PROCESSES.items():
            self.run(name, command)

    def run(self, name: str, command: Sequence[str]) -> None:
        """Keep ``python -m command`` running under a name, with its log in ``logs``."""
        with self._lock:
            self._commands[name] = tuple(command)
            self._running[name] = self._spawn(name, command)

    def release(self, name: str) -> subprocess.Popen[bytes]:
        """Do not start a process again; returns it."""
        with self._lock:
            del self._commands[name]
            return self._running.pop(name)

    def process(self, name: str) -> psutil.Process | None:
        """A process by its name, or ``None`` between two of its lives."""
        with self._lock:
            running = self._running.get(name)
        with suppress(psutil.Error):
            return psutil.Process(running.pid) if running is not None and running.poll() is None else None
        return None

    def workers(self) -> list[psutil.Process]:
        """The parent process of each worker."""
        return [
            each for each in _children(self.process("workers")) if "longshore.workers.process.main" in _command(each)
        ]

    def computing(self) -> list[psutil.Process]:
        """The child of each worker, which computes."""
        return [
            each for worker in self.workers() for each in _children(worker) if "spawn_main" in " ".join(_command(each))
        ]

    def service(self, name: str) -> psutil.Process | None:
        """``redis`` or ``postgres``: the process that the home has started."""
        with suppress(OSError, ValueError, psutil.Error):
            record = json.loads((self.folder / "home" / "run" / "processes.json").read_text())
            return psutil.Process(next(row["pid"] for row in record["children"] if row["name"] == name))
        return None

    def sql(self, statement: str, *values: object) -> list[tuple[object, ...]]:
        """Run one statement directly, as the superuser; returns the rows, if it has any."""
        # A fault may have made read-only the default.
        with psycopg.connect(
            self.direct.database_url,
            autocommit=True,
            connect_timeout=5,
            options="-c default_transaction_read_only=off",
        ) as connection:
            cursor = connection.execute(statement.encode(), values or None)
            return cursor.fetchall() if cursor.description else []

    @contextmanager
    def redis(self) -> Iterator[redis.Redis]:
        """A connection to Redis itself."""
        with redis.Redis.from_url(self.direct.redis_url, socket_timeout=5, socket_connect_timeout=5) as connection:
            yield connection

    def services_answer(self) -> bool:
        """Whether Redis and Postgres take commands."""
        with suppress(redis.RedisError, psycopg.Error, OSError):
            with self.redis() as connection:
                connection.ping()
            return self.sql("SELECT 1") == [(1,)]
        return False

    def await_services(self) -> None:
        """Wait until Redis and Postgres take commands."""
        try:
            wait_until(self.services_answer, "the return of Redis and Postgres", timeout_s=60)
        except AssertionError:
            # A Postgres that is told to stop while it recovers from a crash can come to do neither: end it.
            send([self.service("postgres")], signal.SIGQUIT)
            wait_until(self.services_answer, "the return of Redis and Postgres", timeout_s=60)

    def make_postgres_writable(self) -> None:
        """End what the fault ``Postgres read-only`` has done."""
        self.sql("ALTER SYSTEM RESET default_transaction_read_only")
        self.sql("SELECT pg_reload_conf()")

    def processes(self) -> list[psutil.Process]:
        """Every process of this deployment but the services."""
        return [each for each in psutil.process_iter() if self._is_ours(each)]

    def close(self) -> None:
        """Stop everything.

        :raises AssertionError: a process outlived that.
        """
        self._stopping.set()
        if self._keeper.ident is not None:
            self._keeper.join()
        left: list[psutil.Process] = []
        try:
            running = list(self._running.values())
            for process in running:
                process.send_signal(signal.SIGTERM)
            for process in running:
                with suppress(subprocess.TimeoutExpired):
                    process.wait(60)
            _, left = psutil.wait_procs(self.processes(), timeout=20)
        finally:
            lines = [" ".join(_command(process)) for process in left]
            for survivor in left:
                survivor.kill()
            self.redis_proxy.close()
            self.postgres_proxy.close()
            embedded.down(self.folder / "home")
            for disk in (self.store_disk, self.services_disk):
                if disk is not None:
                    disk.close()
        assert not lines, f"left behind, and killed now: {lines}"

    def _addresses(self, process: Process) -> Settings:
        found = load_settings(home=self.folder / "home", producer="chaos", environ={}, process=process)
        return replace(found, store=f"file://{self.store}", home=None)

    def _through_proxies(self, direct: Settings) -> Settings:
        return replace(
            direct,
            redis_url=_through(self.redis_proxy, direct.redis_url),
            database_url=_through(self.postgres_proxy, direct.database_url),
        )

    def _spawn(self, name: str, command: Sequence[str]) -> subprocess.Popen[bytes]:
        inherited = {key: value for key, value in os.environ.items() if not key.startswith("LONGSHORE_")}
        environment = {
            **inherited,
            **(self._services if name in PROCESSES else self.settings).environment(),
            "LONGSHORE_LEASE": str(LEASE_S),
            "PYTHONSAFEPATH": "1",
            "PYTHONUNBUFFERED": "1",
            "PYTHONPATH": str(Path(__file__).parents[2]),
            "TMPDIR": str(self.folder / "temporary"),
            "OMP_WAIT_POLICY": "passive",
            **({} if self.shim is None else self.shim.environment(MACHINE_OF.get(name, "producers"))),
        }
        with (self.folder / "logs" / f"{name}.log").open("ab") as log:
            return subprocess.Popen(
                [sys.executable, "-m", *command],
                env=environment,
                cwd=self.folder,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )

    def _keep(self) -> None:
        while not self._stopping.wait(RESTART_DELAY_S):
            with self._lock:
                for name, process in list(self._running.items()):
                    if process.poll() is not None:
                        self._running[name] = self._spawn(name, self._commands[name])

    def _is_ours(self, process: psutil.Process) -> bool:
        try:
            return process.environ().get("LONGSHORE_STORE") == self.settings.store
        except psutil.Error:  # another user's, a zombie, or gone
            return False


def send(processes: Sequence[psutil.Process | None], number: signal.Signals) -> int:
    """Send a signal to those that are there; returns to how many."""
    sent = 0
    for process in processes:
        with suppress(psutil.Error):
            if process is not None:
                process.send_signal(number)
                sent += 1
    return sent


def with_children(process: psutil.Process | None) -> list[psutil.Process]:
    """A process and all that descend from it."""
    return [] if process is None else [process, *_children(process, recursive=True)]


def _children(process: psutil.Process | None, *, recursive: bool = False) -> list[psutil.Process]:
    with suppress(psutil.Error):
        return [] if process is None else process.children(recursive=recursive)
    return []


def _command(process: psutil.Process) -> list[str]:
    try:
        return process.cmdline()
    except psutil.Error:
        return []


def _proxy(url: str) -> TcpProxy:
    parts = urlsplit(url)
    assert parts.hostname is not None
    assert parts.port is not None
    return TcpProxy(parts.hostname, parts.port)


def _through(proxy: TcpProxy, url: str) -> str:
    parts = urlsplit(url)
    credentials, _, _ = parts.netloc.rpartition("@")
    return parts._replace(netloc=f"{credentials}@127.0.0.1:{proxy.port}").geturl()
