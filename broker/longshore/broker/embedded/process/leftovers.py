"""Stopping the processes that a killed ``up`` left running. Redis and Postgres shut down cleanly."""

from __future__ import annotations

import signal
from pathlib import Path

import psutil

from longshore.broker.embedded.home import Home
from longshore.broker.embedded.process.identity import belonging_to, end, is_alive, kill
from longshore.broker.embedded.process.record import Record, record_file

#: The grace period in seconds of a service that only its own pid file names.
_GRACE_S = 30.0


def stop_leftovers(home: Home) -> bool:
    """Stop what an earlier ``up`` left running. The caller must have the lock of the home.

    :returns: whether anything ran.
    """
    record = Record.read(home) or Record(run="")
    any_running = False
    for child in reversed(record.children):
        process = child.identity.find()
        if process is not None:
            any_running = True
            end(process, child.stop_signal, child.grace_s)
    strays = belonging_to(record.run) if record.run else []
    kill(strays)
    # An `up` killed between starting a service and recording it: the service's own pid file names it.
    for file, stop_signal in (
        (home.postgres / "postmaster.pid", signal.SIGINT),
        (home.redis / "redis.pid", signal.SIGTERM),
    ):
        process = _from_pid_file(file)
        if process is not None:
            any_running = True
            end(process, stop_signal, _GRACE_S)
    _clear_postgres(home.postgres)
    home.cluster_file.unlink(missing_ok=True)
    home.logins_file.unlink(missing_ok=True)
    record_file(home).unlink(missing_ok=True)
    return any_running or bool(strays)


def _clear_postgres(data: Path) -> None:
    """Remove the pid file of a killed Postgres, after killing the processes it left.

    Postgres removes a stale pid file itself, unless another process of the same user has that pid now.
    """
    file = data / "postmaster.pid"
    if not file.exists():
        return
    folder = str(data.resolve())
    left = []
    for process in psutil.process_iter():
        try:
            if process.name() == "postgres" and process.cwd() == folder:
                left.append(process)
        except psutil.Error:
            continue  # it has exited, or belongs to another user
    kill(left)
    file.unlink()


def _from_pid_file(file: Path) -> psutil.Process | None:
    """The process that a pid file names, if its working folder is that of the file: the pid can be stale."""
    try:
        process = psutil.Process(int(file.read_text().split()[0]))
        at_home = Path(process.cwd()).samefile(file.parent)
    except (OSError, ValueError, IndexError, psutil.Error):
        return None
    return process if at_home and is_alive(process) else None
