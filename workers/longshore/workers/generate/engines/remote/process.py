"""Starts the process of an engine, repeats what it prints, and ends it with all that it has started."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import sys
import tempfile
import threading
from collections import deque
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import IO, Final

import psutil

#: Environment variables that the process gets of those of the worker's child, which has passwords among its own: these,
#: and those that begin so.
_PASSED: Final = ("PATH", "HOME", "USER", "LANG", "TZ", "PYTHONPATH", "PYTHONSAFEPATH", "PYTHONHOME", "VIRTUAL_ENV")
_PASSED_PREFIXES: Final = (
    *("LC_", "LD_", "XDG_", "OMP_", "GOMP_", "KMP_", "MKL_", "MALLOC_", "CUDA_", "NVIDIA_", "NCCL_", "GLOO_"),
    *("TORCH_", "TORCHINDUCTOR_", "PYTORCH_", "TRITON_", "VLLM_", "FLASHINFER_", "ROCR_", "HIP_"),
)
_SECRET_WORDS: Final = ("KEY", "TOKEN", "SECRET", "PASSWORD")
#: Its processes talk to each other on this machine alone, and are started so that each imports the module of the first.
_VARIABLES: Final[Mapping[str, str]] = {
    "VLLM_WORKER_MULTIPROC_METHOD": "spawn",
    "VLLM_HOST_IP": "127.0.0.1",
    "GLOO_SOCKET_IFNAME": "lo",
    "NCCL_SOCKET_IFNAME": "lo",
    "PYTHONUNBUFFERED": "1",
}
#: The folder for temporary files has the sockets of vLLM, whose paths the system limits to so many characters.
_PREFIX: Final = "longshore-engine-"
_MAX_SOCKET_PATH: Final = 107
_SHORT_ROOT: Final = "/tmp"
#: Lines of its output that are kept, and characters of each.
_MAX_LINES, _MAX_LINE_CHARS = 10, 300
#: Seconds in which its processes must have ended by themselves, or by SIGKILL.
_END_TIMEOUT_S = 10.0


class EngineProcess:
    """The process of an engine.

    :param end: its end of the sockets.
    :param threads: threads of each process that computes.
    """

    def __init__(self, end: socket.socket, *, threads: int, python: str | None, variables: Mapping[str, str]) -> None:
        # Temporary files are removed with the folder, even if the processes are killed.
        self._folder = tempfile.mkdtemp(prefix=_PREFIX, dir=_root(tempfile.gettempdir()))
        module = "longshore.workers.generate.engines.remote.server"
        # A session of its own, as a worker has; the pipe ends it with this process.
        self._process = subprocess.Popen(
            [python or sys.executable, "-m", module, self._folder, str(end.fileno())],
            env={
                **engine_environment(os.environ),
                **_VARIABLES,
                **variables,
                "OMP_NUM_THREADS": str(threads),
                "TMPDIR": self._folder,
            },
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            pass_fds=[end.fileno()],
            start_new_session=True,
        )
        assert self._process.stdout is not None
        self.pid = self._process.pid
        self._lines: deque[str] = deque(maxlen=_MAX_LINES)
        self._output = threading.Thread(
            target=self._repeat, args=(self._process.stdout,), name="output of an engine", daemon=True
        )
        self._output.start()

    def end(self, wait_s: float = 0.0) -> int:
        """End it and every process that it has started.

        :param wait_s: how long it may take to end by itself.
        :returns: its status, or the negative number of the signal that ended it.
        """
        if self._process.returncode is not None:
            return self._process.returncode
        assert self._process.stdin is not None
        # Also those whose parent has ended.
        started = _session(self.pid)
        with suppress(subprocess.TimeoutExpired):
            self._process.wait(wait_s)
        # Those that compute end with it. What is left is a process that removes the names of their shared memory.
        self._process.stdin.close()
        self._process.kill()
        code = self._process.wait()
        _, alive = psutil.wait_procs(started, timeout=_END_TIMEOUT_S)
        for process in alive:
            with suppress(psutil.NoSuchProcess):
                process.kill()
        psutil.wait_procs(alive, timeout=_END_TIMEOUT_S)
        self._output.join(_END_TIMEOUT_S)
        shutil.rmtree(self._folder, ignore_errors=True)
        return code

    def last_lines(self) -> str:
        """What it has printed last."""
        return "\n".join(self._lines)

    def _repeat(self, output: IO[bytes]) -> None:
        """Print what the processes print: it belongs to the log of the attempt."""
        with output:
            for raw in output:
                line = raw.decode(errors="replace")
                self._lines.append(line.rstrip()[:_MAX_LINE_CHARS])
                sys.stderr.write(line)


def engine_environment(environ: Mapping[str, str]) -> dict[str, str]:
    """The variables that an engine needs, and no password or address of a service."""
    return {
        name: value
        for name, value in environ.items()
        if name in _PASSED
        or (name.startswith(_PASSED_PREFIXES) and not any(word in name.upper() for word in _SECRET_WORDS))
    }


def _root(temporary: str) -> str:
    """Where its folder is: where temporary files belong, unless the paths of sockets would be too long there."""
    longest = Path(temporary) / f"{_PREFIX}{'x' * 8}" / ("x" * 36)
    return temporary if len(os.fsencode(longest)) <= _MAX_SOCKET_PATH else _SHORT_ROOT


def _session(leader: int) -> list[psutil.Process]:
    """The processes of a session without its leader."""
    found = []
    for pid in psutil.pids():
        with suppress(OSError, psutil.NoSuchProcess):
            if pid != leader and os.getsid(pid) == leader:
                found.append(psutil.Process(pid))
    return found
