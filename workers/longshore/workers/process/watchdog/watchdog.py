"""The watchdog in a worker's parent: it ends a child that hangs, and reports in the ledger why a child has ended.

Without it, the attempts of a child that has ended would wait for their lease, and their owner would not learn why.
"""

from __future__ import annotations

import logging
import math
import os
import signal
import threading
import time
from collections import Counter
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field

from billiard import active_children
from billiard.process import BaseProcess

from longshore.shared.errors import ServiceUnavailable
from longshore.shared.ledger.ledger import Ledger
from longshore.workers.process.logs.attempt_log import log_line
from longshore.workers.process.monitoring.cells import add_counts
from longshore.workers.process.parent_end import parent_has_ended
from longshore.workers.process.settings import WorkerSettings
from longshore.workers.process.watchdog.board import BOARD_VARIABLE, METRIC_CELLS, AttemptState, Board, ShownAttempt
from longshore.workers.process.watchdog.reasons import describe_exit, exit_reason
from longshore.workers.process.watchdog.rules import ChildRules, LossCause, Verdict
from longshore.workers.process.watchdog.show import STACK_SIGNAL

log = logging.getLogger(__name__)

#: Seconds between two checks.
CHECK_INTERVAL_S = 0.2
#: Seconds that a child that hangs has to write its stack.
STACK_TIMEOUT_S = 0.5
#: Seconds between two tries to report an end, if Postgres cannot be reached.
REPORT_RETRY_S = 1.0
#: Seconds that a worker without its supervisor has: the next supervisor starts another under the same name.
ORPHAN_GRACE_S = 5.0
#: Seconds of the grace that remain to hand back what a killed child ran.
HAND_BACK_S = 3.0
#: Seconds in which a worker that stops has to end, once nothing is left to hand back.
END_TIMEOUT_S = 5.0
#: A check that comes later than this, in seconds, counts as this late: the process was frozen as a whole.
MAX_STEP_S = 1.0


@dataclass
class _Child:
    """A child that was started, with its board."""

    board: Board
    process: BaseProcess | None = None
    rules: ChildRules | None = None
    verdict: Verdict | None = None


@dataclass
class _Report:
    """What is left to report of a child that has ended."""

    attempts: list[ShownAttempt]
    reason: str
    #: By ``time.monotonic()``: then the leases have run out, and the relay has counted the attempts as lost.
    until: float
    next_try: float = field(default=0.0)


class Watchdog(threading.Thread):
    """Watches the children of this process.

    :param on_failed_start: called if a child ends before it was ready.
    :param on_stuck: called if the worker was told to stop, has nothing left to hand back, and does not end.
    :param board: shows the supervisor that this process goes on.
    """

    def __init__(
        self,
        ledger: Ledger,
        worker: WorkerSettings,
        on_failed_start: Callable[[], None],
        on_stuck: Callable[[], None],
        board: Board | None = None,
    ) -> None:
        super().__init__(name="watchdog", daemon=True)
        self._ledger = ledger
        self._worker = worker
        self._on_failed_start = on_failed_start
        self._on_stuck = on_stuck
        self._board = board
        self._children: list[_Child] = []
        self._children_lock = threading.Lock()
        self._reports: list[_Report] = []
        self._stopped = threading.Event()
        self._drain_deadline: float | None = None
        self._drained_at = math.inf
        self._orphaned = False
        self._checked_at = time.monotonic()
        #: For how many seconds the worker has had nothing left but to end.
        self._done_s = 0.0
        #: The metrics of children that have ended, and why attempts have ended with them.
        self._ended_cells: tuple[float, ...] = (0.0,) * METRIC_CELLS
        self._lost: Counter[LossCause] = Counter()

    def prepare_child(self, **_: object) -> None:
        """Make the board of the child that is started next; a receiver of ``worker_before_create_process``."""
        with self._children_lock:
            never_began = any(child.board.pid == 0 for child in self._children)
        if never_began:
            self._on_failed_start()
        board = Board.create()
        os.environ[BOARD_VARIABLE] = str(board.path)
        with self._children_lock:
            self._children.append(_Child(board))

    @property
    def ready(self) -> bool:
        """Whether a child can run shards now."""
        with self._children_lock:
            return any(child.process is not None and child.board.ready for child in self._children)

    @property
    def idle(self) -> bool:
        """Whether the children have no attempts, and no message that leads to some."""
        with self._children_lock:
            return not any(child.board.claims or child.board.attempts() for child in self._children)

    @property
    def silent_s(self) -> float:
        """Seconds since the last check has begun."""
        return time.monotonic() - self._checked_at

    def read_cells(self) -> tuple[float, ...]:
        """The numbers of the metrics: what was counted by all children, and what the present one measures."""
        with self._children_lock:
            cells = self._ended_cells
            for child in self._children:
                cells = add_counts(cells, child.board.read_cells())
        return cells

    def attempts_lost(self) -> dict[LossCause, int]:
        """How many attempts have ended with their process, by cause."""
        with self._children_lock:
            return dict(self._lost)

    def drain(self) -> None:
        """The worker stops: what its child still runs when the grace ends is ended and handed back."""
        now = time.monotonic()
        self._drained_at = min(self._drained_at, now)
        if self._drain_deadline is None:
            self._drain_deadline = now + max(0.0, self._worker.grace - HAND_BACK_S)

    def stop(self) -> None:
        """Stop watching, after a last look. If Postgres is away, what it had to report is left to the leases."""
        self._stopped.set()
        self.join(HAND_BACK_S)
        if self.is_alive():
            return
        with self._children_lock:
            for child in self._children:
                child.board.close()
            self._children.clear()

    def run(self) -> None:
        while not self._stopped.wait(CHECK_INTERVAL_S):
            self._check()
        self._check()

    def _check(self) -> None:
        now = time.monotonic()
        step, self._checked_at = min(now - self._checked_at, MAX_STEP_S), now
        if self._board is not None:
            self._board.beat()
        if parent_has_ended() and not self._orphaned:
            self._orphaned = True
            log.warning("the supervisor has ended; the worker stops")
            self._drain_deadline = time.monotonic() + min(self._worker.grace, ORPHAN_GRACE_S)
            os.kill(os.getpid(), signal.SIGTERM)
        self._match_processes()
        with self._children_lock:
            children = list(self._children)
        for child in children:
            if child.process is None:
                continue
            if (code := child.process.exitcode) is not None:
                self._report_exit(child, int(code))
            elif child.verdict is None and child.rules is not None:
                self._apply_rules(child, child.rules)
        self._send_reports()
        self._check_end(step)

    def _check_end(self, step: float) -> None:
        """End a worker that does not end by itself: while Redis is silent, Celery sends events again and again, without
        a look at whether it was told to stop, and starts a child for each that ends.
        """
        if self._drain_deadline is None:
            return
        with self._children_lock:
            busy = bool(self._reports) or any(child.board.attempts() for child in self._children)
        self._done_s = 0.0 if busy else self._done_s + step
        if self._done_s > END_TIMEOUT_S and not self._stopped.is_set():
            self._on_stuck()

    def _match_processes(self) -> None:
        """Find the process of each board, by the pid that it has written there."""
        processes = {process.pid: process for process in active_children()}
        with self._children_lock:
            for child in self._children:
                pid = child.board.pid
                if child.process is None and pid in processes:
                    child.process = processes[pid]
                    child.rules = ChildRules(child.board, pid, self._worker)

    def _apply_rules(self, child: _Child, rules: ChildRules) -> None:
        if self._has_to_end(child):
            verdict: Verdict | None = Verdict(LossCause.WORKER_STOPS, "the worker stops", with_stack=False)
        else:
            verdict = rules.check()
        if verdict is None:
            return
        child.verdict = verdict
        pid = child.board.pid
        log.warning("ending the child %d: %s", pid, verdict.cause)
        with suppress(ProcessLookupError):
            if verdict.with_stack:
                # A process that is stopped writes nothing until it goes on.
                os.kill(pid, signal.SIGCONT)
                os.kill(pid, STACK_SIGNAL)
                time.sleep(STACK_TIMEOUT_S)
            os.kill(pid, signal.SIGKILL)

    def _has_to_end(self, child: _Child) -> bool:
        """Whether the worker stops, and the grace is over; or the child has nothing to hand back and does not end.

        It is in a claim that gets no answer, or waits until this process has read the results of messages that Celery
        forgot when it lost its connection to Redis: billiard does so for half a minute. The next worker waits for this
        one to end.
        """
        if self._drain_deadline is None:
            return False
        now = time.monotonic()
        nothing = child.board.claims or not child.board.attempts()
        return now > self._drain_deadline or (nothing and now > self._drained_at + HAND_BACK_S)

    def _report_exit(self, child: _Child, code: int) -> None:
        attempts = child.board.attempts()
        kind = child.verdict.kind if child.verdict is not None else LossCause.of_exit(code)
        with self._children_lock:
            self._children.remove(child)
            self._ended_cells = add_counts(self._ended_cells, child.board.read_cells(), ended=True)
            self._lost[kind] += len(attempts)
        draining = self._drain_deadline is not None
        cause = child.verdict.cause if child.verdict is not None else describe_exit(code)
        reason = exit_reason(cause, child.board)
        if attempts:
            log.warning("the child %d ended with %d attempts: %s", child.board.pid, len(attempts), reason)
            self._reports.append(_Report(attempts, reason, time.monotonic() + self._worker.lease))
        failed = not child.board.ready and not draining
        child.board.close()
        if failed:
            log.error("the child ended before it was ready: %s", reason)
            self._on_failed_start()

    def _send_reports(self) -> None:
        now = time.monotonic()
        for report in [each for each in self._reports if each.next_try <= now]:
            try:
                self._send(report)
            except ServiceUnavailable as error:
                log.warning("%s; the end of %d attempts is not reported yet", error, len(report.attempts))
                report.next_try = now + REPORT_RETRY_S
            if not report.attempts or now > report.until:
                self._reports.remove(report)

    def _send(self, report: _Report) -> None:
        guilty = _guilty(report.attempts, draining=self._drain_deadline is not None)
        while report.attempts:
            attempt = report.attempts[0]
            if attempt == guilty:
                error = f"the worker's process broke off: {report.reason}"
                self._ledger.attempts.fail(attempt, error, permanent=False)
                with suppress(Exception):  # a log is worth no second try
                    self._ledger.logs.add_end(attempt, log_line("ERROR", " ".join(error.split())))
            elif attempt.state is not AttemptState.STOPPING:
                # It may be one of several that ran together. Alone, it cannot harm the others again.
                self._ledger.attempts.release(attempt)
            report.attempts.pop(0)


def _guilty(attempts: Sequence[ShownAttempt], *, draining: bool) -> ShownAttempt | None:
    """The attempt that ended its child: the one that ran, if it ran alone."""
    running = [each for each in attempts if each.state is AttemptState.RUNNING]
    return running[0] if len(running) == 1 and not draining else None
