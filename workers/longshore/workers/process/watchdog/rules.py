"""When a child has to be ended. One object watches one child, and decides from what the board shows."""

from __future__ import annotations

import signal
import time
from dataclasses import dataclass
from enum import StrEnum

from longshore.workers.process.settings import WorkerSettings
from longshore.workers.process.watchdog.activity import Activity, Usage, activity, read_usage
from longshore.workers.process.watchdog.board import AttemptState, Board

#: Seconds without a sign of life after which a child counts as frozen: this share of the lease, so that its end is
#: reported before the lease runs out, but not less than the second number.
SILENT_SHARE_OF_LEASE, MIN_SILENT_S = 0.75, 5.0
#: Seconds that a child has to stop an attempt that it has lost, or that has taken too long.
STOP_GRACE_S = 10.0
#: Seconds between two readings of what the child uses.
USAGE_INTERVAL_S = 1.0
#: A check that comes later than this, in seconds, counts as this late: the parent was frozen, too.
MAX_STEP_S = 1.0


class LossCause(StrEnum):
    """Why the process of an attempt has ended, as metrics name it."""

    FROZEN = "frozen"
    MEMORY = "memory_limit"
    NOT_STOPPING = "not_stopping"
    TIMEOUT = "shard_timeout"
    STALLED = "stalled"
    NO_PROGRESS = "no_progress"
    WORKER_STOPS = "worker_stops"
    #: By SIGKILL, which is what the kernel sends when memory runs out.
    KILLED = "killed"
    #: By another signal.
    CRASHED = "crashed"
    EXITED = "exited"

    @classmethod
    def of_exit(cls, code: int) -> LossCause:
        """That of a process that nobody here has ended.

        :param code: its status, or the negative number of the signal that ended it.
        """
        if code >= 0:
            return cls.EXITED
        return cls.KILLED if code == -signal.SIGKILL else cls.CRASHED


@dataclass(frozen=True)
class Verdict:
    """Why a child has to be ended."""

    kind: LossCause
    cause: str
    #: Whether its stack says more.
    with_stack: bool = True


class ChildRules:
    """The rules for one child.

    :param pid: its process.
    """

    def __init__(self, board: Board, pid: int, worker: WorkerSettings) -> None:
        self._board = board
        self._pid = pid
        self._worker = worker
        self._last_check = time.monotonic()
        self._pulse = -1
        self._silent_s = 0.0
        self._progress = -1
        self._stalled_s = 0.0
        self._computing_s = 0.0
        self._usage: Usage | None = None
        self._next_usage = 0.0
        self._stopping_s = 0.0

    def check(self) -> Verdict | None:
        """Whether the child has to be ended now. Called several times a second."""
        now = time.monotonic()
        step = min(now - self._last_check, MAX_STEP_S)
        self._last_check = now
        if not self._board.ready:
            return None
        attempts = self._board.attempts()
        return (
            self._check_pulse(step)
            or self._check_memory(now)
            or self._check_lost(step, {each.state for each in attempts})
            or self._check_time(now, {each.state for each in attempts})
            or self._check_progress(step, busy=bool(attempts))
        )

    def _check_pulse(self, step: float) -> Verdict | None:
        pulse = self._board.pulse
        self._silent_s = 0.0 if pulse != self._pulse else self._silent_s + step
        self._pulse = pulse
        limit = max(SILENT_SHARE_OF_LEASE * self._worker.lease, MIN_SILENT_S)
        if self._silent_s < limit:
            return None
        return Verdict(
            LossCause.FROZEN,
            f"its process did not answer for {limit:g} s: it was stopped, or is in code that holds the Python "
            "interpreter and does not return",
        )

    def _check_memory(self, now: float) -> Verdict | None:
        if self._worker.memory_limit is None or now < self._next_usage:
            return None
        self._next_usage = now + USAGE_INTERVAL_S
        taken = read_usage(self._pid).rss_bytes
        if taken <= self._worker.memory_limit:
            return None
        return Verdict(
            LossCause.MEMORY,
            f"its process took {taken / 2**30:.2f} GiB of memory, and the limit of its worker is "
            f"{self._worker.memory_limit / 2**30:.2f} GiB (LONGSHORE_MEMORY_LIMIT_BYTES)",
        )

    def _check_lost(self, step: float, states: set[AttemptState]) -> Verdict | None:
        stopping = AttemptState.STOPPING in states and AttemptState.RUNNING not in states
        self._stopping_s = self._stopping_s + step if stopping else 0.0
        if self._stopping_s < STOP_GRACE_S:
            return None
        return Verdict(
            LossCause.NOT_STOPPING, f"it was cancelled or lost, and its process did not stop within {STOP_GRACE_S:g} s"
        )

    def _check_time(self, now: float, states: set[AttemptState]) -> Verdict | None:
        limit = self._worker.shard_timeout
        if limit is None or AttemptState.RUNNING not in states or now - self._board.started < limit + STOP_GRACE_S:
            return None
        return Verdict(
            LossCause.TIMEOUT,
            f"it ran for longer than {limit:g} s, the time limit of its worker (LONGSHORE_SHARD_TIMEOUT), "
            f"and its process did not stop within {STOP_GRACE_S:g} s",
        )

    def _check_progress(self, step: float, *, busy: bool) -> Verdict | None:
        progress = self._board.progressed
        if not busy or progress != self._progress:
            self._progress, self._stalled_s, self._computing_s, self._usage = progress, 0.0, 0.0, None
            return None
        self._stalled_s += step
        if self._usage is None:
            # The threads that started the run settle first.
            if self._stalled_s >= USAGE_INTERVAL_S:
                self._usage = read_usage(self._pid)
            return None
        if self._stalled_s < self._worker.stall_timeout:
            return None
        usage, seconds = read_usage(self._pid), self._stalled_s - USAGE_INTERVAL_S
        doing = activity(self._usage, usage, seconds)
        if doing is Activity.NOTHING:
            return Verdict(
                LossCause.STALLED,
                f"it made no progress for {self._worker.stall_timeout:g} s, and its process neither computed, read nor "
                "wrote: it waited for something that did not answer (LONGSHORE_STALL_TIMEOUT)",
            )
        self._computing_s = self._computing_s + seconds if doing is Activity.COMPUTING else 0.0
        self._stalled_s, self._usage = USAGE_INTERVAL_S, usage
        if self._computing_s < self._worker.progress_timeout:
            return None
        return Verdict(
            LossCause.NO_PROGRESS,
            f"it computed for {self._worker.progress_timeout:g} s without any progress, and neither read nor wrote: "
            "it is in a loop without an end, or one batch takes longer than that (LONGSHORE_PROGRESS_TIMEOUT)",
        )
