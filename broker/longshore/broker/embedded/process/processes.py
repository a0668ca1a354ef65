"""The processes of one ``up``: each started in a session of its own, recorded, and stopped in order."""

from __future__ import annotations

import signal
import subprocess
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import psutil

from longshore.broker.embedded.files import home_errors, last_lines
from longshore.broker.embedded.home import Home
from longshore.broker.embedded.logs import rotate
from longshore.broker.embedded.process.account import Account
from longshore.broker.embedded.process.identity import RUN_VARIABLE, Identity, belonging_to, end, kill
from longshore.broker.embedded.process.record import Record, Recorded, record_file
from longshore.broker.embedded.process.signals import StopSignals
from longshore.shared.errors import HomeError


@dataclass(frozen=True, kw_only=True)
class Command:
    """How to start one process, and how to stop it.

    :param environ: its whole environment. Passwords are passed here or in files, never in ``argv``.
    :param account: the user it runs as; ``None`` for the current one.
    :param grace_s: seconds between ``stop_signal`` and SIGKILL.
    """

    name: str
    argv: tuple[str, ...]
    environ: Mapping[str, str] = field(repr=False)
    account: Account | None = None
    stop_signal: signal.Signals = signal.SIGTERM
    grace_s: float = 10.0


@dataclass(frozen=True)
class Child:
    """A process that :func:`spawn` started."""

    command: Command
    popen: subprocess.Popen[bytes]
    identity: Identity
    #: ``time.monotonic()`` at its start.
    started_at: float

    @property
    def exit_code(self) -> int | None:
        """``None`` while it runs; the negative signal number if a signal ended it."""
        return self.popen.poll()

    def stop(self, impatient: Callable[[], bool]) -> None:
        """End it and its descendants. Its pid cannot be reused before it is waited for here."""
        if self.exit_code is None:
            process = psutil.Process(self.popen.pid)
            end(process, self.command.stop_signal, self.command.grace_s, impatient=impatient)
            self.popen.wait()


class Children:
    """All processes of one ``up``.

    :param run: the id of the ``up``, which marks the environment of each process and its descendants.
    """

    def __init__(self, home: Home, run: str) -> None:
        self._home = home
        self._run = run
        self._children: dict[str, Child] = {}
        self._save()

    def start(self, command: Command) -> Child:
        """Start a process and record it.

        :raises HomeError: it cannot be started or recorded.
        """
        child = spawn(command, self._home.log(command.name), self._run)
        self._children[command.name] = child
        try:
            self._save()
        except HomeError:  # no later command could find a process without a record
            self._children.pop(command.name).stop(lambda: True)
            raise
        return child

    def run(self, command: Command, stop: StopSignals) -> None:
        """Start a process and wait for its end.

        :raises HomeError: it failed; contains the end of its log.
        :raises Stopped: a signal to stop was received.
        """
        child = self.start(command)
        while child.exit_code is None:
            stop.pause(1.0)
        self.discard(command.name)
        if child.exit_code != 0:
            raise self.failure(child, "failed")

    def ended(self) -> list[Child]:
        """The processes that have exited since the last call."""
        exited = [child for child in self._children.values() if child.exit_code is not None]
        for child in exited:
            del self._children[child.command.name]
        return exited

    def discard(self, name: str) -> None:
        """Stop a process if it runs, and remove its record."""
        self._children.pop(name).stop(lambda: False)
        self._save()

    def stop(self, impatient: Callable[[], bool]) -> None:
        """Stop all processes, the last started first, and then their remaining descendants.

        :param impatient: once it returns ``True``, processes are killed without waiting.
        """
        for child in reversed(self._children.values()):
            child.stop(impatient)
        self._children.clear()
        kill(belonging_to(self._run))
        record_file(self._home).unlink(missing_ok=True)

    def failure(self, child: Child, what: str) -> HomeError:
        """The error for a process that has exited, with the end of its log."""
        log = self._home.log(child.command.name)
        return HomeError(
            f"{child.command.name} {what} (exit code {child.exit_code}); the end of {log}:\n{last_lines(log)}"
        )

    def _save(self) -> None:
        rows = tuple(
            Recorded(name, child.identity, child.command.stop_signal, child.command.grace_s)
            for name, child in self._children.items()
        )
        Record(self._run, rows).write(self._home)


def spawn(command: Command, log: Path, run: str) -> Child:
    """Start a process whose output is appended to ``log``.

    It has a session of its own, so that Ctrl-C on the terminal reaches only ``up``, which stops the processes in order.
    It writes to the file itself, so that it can go on if ``up`` is killed.

    :raises HomeError: it cannot be started.
    """
    rotate(log)
    account = command.account
    # Only root sets an account, and the process must not inherit root's groups.
    groups: list[int] | None = None if account is None else []
    with home_errors(log), log.open("ab") as output:
        try:
            popen = subprocess.Popen(
                command.argv,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                cwd=None if account is None else "/",
                env={**command.environ, RUN_VARIABLE: run},
                start_new_session=True,
                user=None if account is None else account.uid,
                group=None if account is None else account.gid,
                extra_groups=groups,
            )
        except OSError as error:
            raise HomeError(f"{command.name}: {command.argv[0]} cannot be started: {error.strerror}") from error
    return Child(command, popen, Identity.of(psutil.Process(popen.pid)), time.monotonic())
