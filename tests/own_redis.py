"""A Redis of its own for a test that kills it, stops it or fills it."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
from pathlib import Path

import redis

from longshore.broker.embedded.services.redis_binaries import find_program
from tests.waiting import wait_until


class OwnRedis:
    """A Redis without a password, on a socket in ``folder`` and on a port of loopback.

    :param arguments: more of its command line.
    :param program: the server; by default the one that ``longshore up`` would start.
    :param tls: whether the port needs TLS.
    """

    def __init__(self, folder: Path, *arguments: str, program: Path | None = None, tls: bool = False) -> None:
        self._folder = folder
        self._program = program or own_program()
        self._tls = tls
        self._arguments = arguments
        self._process: subprocess.Popen[bytes] | None = None
        self.socket = folder / "redis.sock"
        self.port = _free_port()
        self.socket_url = f"redis+socket://{self.socket}"
        self.url = f"redis://127.0.0.1:{self.port}/0"

    def start(self) -> None:
        """Start it, and return when it answers."""
        ports = ["--port", "0", "--tls-port", str(self.port)] if self._tls else ["--port", str(self.port)]
        arguments = [*ports, "--bind", "127.0.0.1", "--unixsocket", str(self.socket)]
        arguments += ["--save", "", "--dir", str(self._folder), *self._arguments]
        self._process = subprocess.Popen([self._program, *arguments], stdout=subprocess.DEVNULL)
        wait_until(self._answers, "the start of Redis")

    def kill(self) -> None:
        """End it by SIGKILL."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            self._process = None

    def stall(self) -> None:
        """Stop it by SIGSTOP: connections stay open, and nothing is answered."""
        self._signal(signal.SIGSTOP)

    def resume(self) -> None:
        """Have it go on after :meth:`stall`."""
        self._signal(signal.SIGCONT)

    def client(self) -> redis.Redis:
        """A client over the socket, whatever its ports need."""
        return redis.Redis(unix_socket_path=str(self.socket))

    def __enter__(self) -> OwnRedis:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.kill()

    def _signal(self, number: signal.Signals) -> None:
        assert self._process is not None
        self._process.send_signal(number)

    def _answers(self) -> bool:
        assert self._process is not None
        assert self._process.poll() is None, "Redis did not start"
        try:
            with self.client() as client:
                return bool(client.ping())
        except redis.ConnectionError:
            return False


def own_program() -> Path:
    """The server that ``longshore up`` would start."""
    return find_program(os.environ.get("PATH", os.defpath))


def require_tls() -> Path:
    """A server that was built with TLS. The one of the wheel may be without."""
    candidates = [own_program(), Path("/usr/bin/redis-server")]
    for program in candidates:
        if program.exists():
            libraries = subprocess.run(["ldd", program], capture_output=True, text=True, check=False).stdout
            if "libssl" in libraries:
                return program
    raise AssertionError("no redis-server with TLS; install Debian's package redis-server")


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
