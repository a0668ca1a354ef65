"""Waiting for Ctrl-C, SIGTERM or SIGHUP."""

from __future__ import annotations

import os
import select
import signal
from types import FrameType, TracebackType

_STOP_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


class Stopped(Exception):
    """A signal to stop was received during a wait. It never leaves this package."""


class StopSignals:
    """Receives the signals to stop while its block runs, in the main thread.

    A second Ctrl-C sets :attr:`hard`: stop without waiting. The end of a child process also ends a wait.
    """

    def __init__(self) -> None:
        self.requested = False
        self.hard = False
        self._before: dict[signal.Signals, signal.Handlers | None] = {}
        self._read = -1
        self._write = -1

    def __enter__(self) -> StopSignals:
        # A handler may run between any two instructions, so it only sets flags and writes to a pipe that cannot block.
        self._read, self._write = os.pipe()
        os.set_blocking(self._read, False)
        os.set_blocking(self._write, False)
        for number in (*_STOP_SIGNALS, signal.SIGCHLD):
            if number is signal.SIGHUP and signal.getsignal(number) is signal.SIG_IGN:
                continue  # nohup
            self._before[number] = signal.signal(number, self._receive)  # type: ignore[assignment]
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler if handler is not None else signal.SIG_DFL)
        os.close(self._read)
        os.close(self._write)

    def wait(self, timeout_s: float) -> None:
        """Return on the next signal, the end of a child, or after ``timeout_s``."""
        ready, _, _ = select.select([self._read], [], [], timeout_s)
        if ready:
            os.read(self._read, 4096)

    def pause(self, timeout_s: float) -> None:
        """Wait, unless a signal to stop was received.

        :raises Stopped: a signal to stop was received before or during the wait.
        """
        if not self.requested:
            self.wait(timeout_s)
        if self.requested:
            raise Stopped

    def _receive(self, number: int, _frame: FrameType | None) -> None:
        if number != signal.SIGCHLD:
            self.hard = self.hard or (self.requested and number == signal.SIGINT)
            self.requested = True
        try:
            os.write(self._write, b"!")
        except BlockingIOError:
            return  # the pipe is full of unread signals: the wait ends anyway
