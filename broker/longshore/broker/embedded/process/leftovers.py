"""What a killed ``up`` left running. Its data is whole: Redis and Postgres are stopped in their own way."""

from __future__ import annotations

import signal
from pathlib import Path

import psutil

from longshore.broker.embedded.home import Home
from longshore.broker.embedded.process.identity import belonging_to, end, is_alive, kill
from longshore.broker.embedded.process.record import Record, record_file

#: Seconds a service gets that is known by its own pid file only.
_GRACE_S = 30.0


def stop_leftovers(home: Home) -> bool:
    """Stop what an earlier ``up`` left running; whoever calls holds the lock.

    :returns: whether there was anything.
    """
    record = Record.read(home) or Record(run="")
    found = False
    for child in reversed(record.children):
        process = child.who.find()
        if process is not None:
            found = True
            end(process, child.stop_signal, child.grace_s)
    strays = belonging_to(record.run) if record.run else []
    kill(strays)
    # Killed between starting a service and writing it down: the service's own pid file tells.
    for file, how in ((home.postgres / "postmaster.pid", signal.SIGINT), (home.redis / "redis.pid", signal.SIGTERM)):
        process = _from_pid_file(file)
        if process is not None:
            found = True
            end(process, how, _GRACE_S)
    _clear_postgres(home.postgres)
    home.cluster_file.unlink(missing_ok=True)
    record_file(home).unlink(missing_ok=True)
    return found or bool(strays)


def _clear_postgres(data: Path) -> None:
    """Remove the pid file of a Postgres that was killed, once no process of it is left.

    Postgres removes it itself, but not when its number has gone to another process of the same user.
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
            continue  # gone meanwhile, or another user's: none of ours
    kill(left)
    file.unlink()


def _from_pid_file(file: Path) -> psutil.Process | None:
    """The process that a pid file names, if it works in the folder of that file: a number can be stale."""
    try:
        process = psutil.Process(int(file.read_text().split()[0]))
        at_home = Path(process.cwd()).samefile(file.parent)
    except (OSError, ValueError, IndexError, psutil.Error):
        return None
    return process if at_home and is_alive(process) else None
