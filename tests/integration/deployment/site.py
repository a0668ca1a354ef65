"""What compose.yaml describes, run by hand on this machine.

What differs from a container: folders, ports and host names, which are replaced in the text, and the user.
"""

from __future__ import annotations

import os
import re
import shlex
import shutil
import signal
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

import psutil

from longshore.broker.embedded.home import Home
from longshore.broker.embedded.process.account import Account, server_account
from longshore.broker.embedded.services.ports import any_free_port
from longshore.broker.embedded.services.postgres_binaries import find_binaries
from longshore.broker.embedded.services.redis_binaries import find_program
from tests import compose_file
from tests.compose_file import ROOT, Service
from tests.waiting import TIMEOUT_S, wait_until

SERVICES = compose_file.load().services
#: Seconds a service may take to be at work: a worker imports PyTorch, here beside everything else.
START = 120.0


@dataclass
class Site:
    """One deployment: its folder, and what the paths, ports and hosts of a container are here."""

    place: Path
    ports: Mapping[str, int]
    account: Account | None = field(default_factory=server_account)
    running: dict[str, subprocess.Popen[bytes]] = field(default_factory=dict)

    @property
    def secrets(self) -> Path:
        """The files as a container sees them."""
        return self.place / "run-secrets"

    def here(self, text: str) -> str:
        """A text of compose.yaml, for this machine."""
        places = {
            "@postgres:5432": f"@127.0.0.1:{self.ports['postgres']}",
            "//redis:6379": f"//127.0.0.1:{self.ports['redis']}",
            "0.0.0.0": "127.0.0.1",
            "6379": str(self.ports["redis"]),
            "5432": str(self.ports["postgres"]),
            "5555": str(self.ports["flower"]),
            "8080": str(self.ports["gateway"]),
            "/run/secrets": str(self.secrets),
            "--dir /data": f"--dir {self.place / 'redis'}",
            "/var/lib/longshore": str(self.place),
            "/opt/longshore": str(ROOT / "deploy"),
        }
        # All at once: a port by chance can contain one of the numbers.
        return re.sub("|".join(map(re.escape, places)), lambda found: places[found[0]], text)

    def environment(self, service: Service) -> dict[str, str]:
        """What a container has: what compose.yaml says, and what its image brings along."""
        return {
            "PATH": os.pathsep.join([str(self.place / "bin"), str(Path(sys.executable).parent), os.environ["PATH"]]),
            "PYTHONPATH": os.environ.get("PYTHONPATH", ""),
            "PYTHONSAFEPATH": "1",
            "LC_ALL": "C.UTF-8",
            "XDG_CACHE_HOME": str(self.place / "cache"),
            "PGDATA": str(self.place / "postgres"),
            "PGPORT": str(self.ports["postgres"]),
            **{key: self.here(value) for key, value in service.environment.items()},
        }

    def start(self, name: str) -> subprocess.Popen[bytes]:
        """Run the command of a service; its output goes to a file."""
        service = SERVICES[name]
        account = self.account if name == "postgres" else None
        groups: list[int] | None = None if account is None else []
        with self.log(name).open("ab") as log:
            self.running[name] = subprocess.Popen(
                [self.here(part) for part in service.command],
                env=self.environment(service),
                cwd="/",
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                user=account.uid if account else None,
                group=account.gid if account else None,
                extra_groups=groups,
            )
        return self.running[name]

    def run(self, name: str) -> int:
        """Run the command of a service to its end; returns the exit code."""
        code = self.start(name).wait(TIMEOUT_S)
        del self.running[name]
        return code

    def ask_health(self, name: str) -> int:
        """Run the health check of a service once; returns the exit code."""
        service = SERVICES[name]
        assert service.healthcheck is not None
        kind, *command = [self.here(part) for part in service.healthcheck.test]
        assert kind in ("CMD", "CMD-SHELL")
        with self.log(f"{name}-health").open("ab") as log:
            return subprocess.run(
                command if kind == "CMD" else ["/bin/sh", "-c", *command],
                env=self.environment(service),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                timeout=TIMEOUT_S,
                check=False,
            ).returncode

    def start_healthy(self, name: str) -> None:
        """Start a service, and return when its health check says that it is at work."""
        process = self.start(name)

        def healthy() -> bool:
            assert process.poll() is None, f"{name} ended with {process.returncode}:\n{self.read_log(name)}"
            return self.ask_health(name) == 0

        wait_until(healthy, f"the start of {name}", START)

    def stop(self, name: str, how: signal.Signals = signal.SIGTERM) -> int:
        """Stop a service as compose does, within the time it is given there; returns the exit code."""
        process = self.running[name]
        process.send_signal(how)
        code = process.wait(SERVICES[name].grace)
        del self.running[name]
        return code

    def close(self) -> None:
        """Leave nothing running, whatever happened; what answers first comes last."""
        for process in reversed(self.running.values()):
            if process.poll() is not None:
                continue
            tree = [psutil.Process(process.pid), *psutil.Process(process.pid).children(recursive=True)]
            process.terminate()
            try:
                process.wait(TIMEOUT_S)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
            for left in psutil.wait_procs(tree, timeout=10)[1]:
                left.kill()

    def log(self, name: str) -> Path:
        return self.place / "logs" / f"{name}.log"

    def read_log(self, name: str) -> str:
        return self.log(name).read_text(errors="replace")

    def database_url(self, database: str = "longshore") -> str:
        """Of its Postgres."""
        password = self.password("postgres_password")
        return f"postgresql://longshore:{password}@127.0.0.1:{self.ports['postgres']}/{database}"

    def password(self, name: str) -> str:
        return (self.secrets / name).read_text()


def make_site(place: Path) -> Site:
    """Folders, passwords and programs; nothing runs yet."""
    place.chmod(0o711)
    site = Site(place, {name: any_free_port() for name in ("redis", "postgres", "flower", "gateway")})
    for name in ("bin", "logs", "redis"):
        (place / name).mkdir()
    subprocess.run(["sh", ROOT / "deploy" / "make-secrets.sh", place / "secrets"], check=True)
    shutil.copytree(place / "secrets", site.secrets)
    site.secrets.chmod(0o711)
    redis_server = find_program(os.environ["PATH"])
    (place / "bin" / "redis-server").symlink_to(redis_server)
    (place / "bin" / "redis-cli").symlink_to(redis_server.with_name(redis_server.name.replace("server", "cli")))
    for program in find_binaries(Home(place), site.account).iterdir():
        (place / "bin" / program.name).symlink_to(program)
    return site


def make_database(site: Site) -> None:
    """What the image does at its first start."""
    told = site.environment(SERVICES["postgres"])
    data = site.place / "postgres"
    data.mkdir(mode=0o700)
    if site.account is not None:
        os.chown(data, site.account.uid, site.account.gid)
    subprocess.run(
        [
            site.place / "bin" / "initdb",
            f"--username={told['POSTGRES_USER']}",
            f"--pwfile={told['POSTGRES_PASSWORD_FILE']}",
            "--set=unix_socket_directories=",
            *shlex.split(told["POSTGRES_INITDB_ARGS"]),
        ],
        env=told,
        cwd="/",
        user=site.account.uid if site.account else None,
        group=site.account.gid if site.account else None,
        extra_groups=None if site.account is None else [],
        stdout=subprocess.DEVNULL,
        check=True,
    )
