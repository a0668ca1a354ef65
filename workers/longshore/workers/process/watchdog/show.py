"""The child's side of the board: what it runs, that it is alive, and its last words."""

from __future__ import annotations

import faulthandler
import logging
import os
import signal
import threading
import time
from collections import deque
from collections.abc import Iterable, Mapping
from contextlib import nullcontext
from pathlib import Path

from longshore.shared.ledger.records import Claim
from longshore.workers.process.monitoring.cells import WorkerMetrics
from longshore.workers.process.watchdog.board import BOARD_VARIABLE, AttemptState, Board, pack_attempt

#: The parent sends it to a child that hangs, which then writes its stack to the board, even if it holds the
#: interpreter's lock. A process that has no handler ignores it.
STACK_SIGNAL = signal.SIGURG
#: Seconds between two signs of life.
PULSE_INTERVAL_S = 1.0
#: Lines of the log that are kept, and characters of each.
MAX_LOG_LINES, MAX_LINE_CHARS = 10, 300

_STATE_BYTES = {state: bytes([state]) for state in AttemptState}


class Shown:
    """What a child shows to its parent. All methods can be called from any thread."""

    def __init__(self, board: Board) -> None:
        self._board = board
        #: By the identity of a claim, because a batch has hundreds: the claim, how it is packed, and its state.
        self._attempts: dict[int, tuple[Claim, bytes, AttemptState]] = {}
        self._lock = threading.Lock()
        self._lines = _LastLines(board)
        #: Counted here, and served by the parent.
        self.metrics = WorkerMetrics(board.cells())

    @classmethod
    def from_environment(cls, environ: Mapping[str, str] = os.environ) -> Shown:
        """The board that the parent has made for this process; one that nobody reads if there is no parent."""
        path = environ.get(BOARD_VARIABLE)
        if path is None:
            return cls(Board.private())
        shown = cls(Board.open(Path(path)))
        shown._start()
        return shown

    def ready(self) -> None:
        """The child can run shards."""
        self._board.set_ready()

    def claims(self, claims: bool) -> None:
        """Whether there is a message whose shards are being claimed: without an attempt to show, it is not idle."""
        self._board.set_claims(claims)

    def progress(self) -> None:
        """The computation goes on; cheap, to be called between batches."""
        self._board.progress()

    def waiting(self, claims: Iterable[Claim]) -> None:
        """These were claimed, and do not run yet."""
        self._set(claims, AttemptState.WAITING)

    def running(self, claims: Iterable[Claim]) -> None:
        """These run from now on: together, if there are several."""
        self._lines.clear()
        self._board.progress()
        self._board.set_started(time.monotonic())
        self._set(claims, AttemptState.RUNNING)

    def committing(self, claims: Iterable[Claim]) -> None:
        """These are computed, and are being committed."""
        self._set(claims, AttemptState.COMMITTING)

    def stopping(self, claims: Iterable[Claim]) -> None:
        """These have lost their shards; the computation has yet to stop. Others are not concerned."""
        with self._lock:
            for claim in claims:
                if (known := self._attempts.get(id(claim))) is not None:
                    self._attempts[id(claim)] = (claim, known[1], AttemptState.STOPPING)
            self._write()

    def ended(self, claims: Iterable[Claim]) -> None:
        """Nothing more happens with these."""
        with self._lock:
            for claim in claims:
                self._attempts.pop(id(claim), None)
            self._write()

    def line(self, text: str) -> None:
        """A line that was printed and not logged."""
        self._lines.add(text)

    def _set(self, claims: Iterable[Claim], state: AttemptState) -> None:
        with self._lock:
            for claim in claims:
                known = self._attempts.get(id(claim))
                packed = pack_attempt(claim.job_id, claim.shard, claim.attempt) if known is None else known[1]
                self._attempts[id(claim)] = (claim, packed, state)
            self._write()

    def _write(self) -> None:
        self._board.set_attempts([packed + _STATE_BYTES[state] for _, packed, state in self._attempts.values()])

    def _start(self) -> None:
        self._board.set_pid(os.getpid())
        if self._board.file is not None:
            faulthandler.enable(self._board.file, all_threads=False)
            faulthandler.register(STACK_SIGNAL, self._board.file, all_threads=False)
        logging.getLogger().addHandler(self._lines)
        threading.Thread(target=self._pulse, args=(os.getppid(),), name="pulse", daemon=True).start()

    def _pulse(self, parent: int) -> None:
        while True:
            self._board.beat()
            time.sleep(PULSE_INTERVAL_S)
            if os.getppid() != parent:
                # Linux has ended this process already; see Celery's use of PR_SET_PDEATHSIG.
                os.kill(os.getpid(), signal.SIGKILL)


class _LastLines(logging.Handler):
    """Keeps the last lines of the log on the board."""

    def __init__(self, board: Board) -> None:
        super().__init__(logging.INFO)
        self._board = board
        self._kept: deque[str] = deque(maxlen=MAX_LOG_LINES)

    def clear(self) -> None:
        """Forget the lines of attempts before."""
        self._kept.clear()
        self._board.set_log("")

    def add(self, text: str) -> None:
        """Keep one more line."""
        with self.lock or nullcontext():
            self._kept.append(text[:MAX_LINE_CHARS])
            self._board.set_log("\n".join(self._kept))

    def emit(self, record: logging.LogRecord) -> None:
        try:
            self.add(record.getMessage())
        except Exception:
            self.handleError(record)
