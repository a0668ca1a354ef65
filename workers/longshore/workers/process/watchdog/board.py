"""The board: a small file in memory on which a worker's child shows its parent what it runs.

The parent reads it whatever the child does: hold the interpreter's lock, hang in a call, or end without a word. Writing
costs a copy of some bytes, so the child writes at every claim, and no query to Postgres is needed.

The file has five parts: the header, the attempts, the last lines of the log, the numbers of the metrics, and, appended
behind them by :mod:`faulthandler`, the stack of a child that crashed or was asked for it.
"""

from __future__ import annotations

import mmap
import os
import struct
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from enum import IntEnum
from pathlib import Path
from typing import IO
from uuid import UUID

#: The variable that tells a child where its board is.
BOARD_VARIABLE = "LONGSHORE_WORKER_BOARD"
#: The variable that tells a worker where its supervisor's board for it is.
SUPERVISOR_BOARD_VARIABLE = "LONGSHORE_WORKER_SUPERVISOR_BOARD"
#: The most attempts that are shown: a batch that runs, one that is committed and one that was prefetched.
MAX_ATTEMPTS = 2048
#: Bytes of the last lines of the log.
MAX_LOG_BYTES = 4096
#: Numbers for metrics; :mod:`~longshore.workers.process.monitoring.cells` says what each is.
METRIC_CELLS = 96
#: Bytes of the stack that are read.
MAX_STACK_BYTES = 16384

#: The child's pid, whether it is ready, its pulse, its progress, and when the attempts that run began to.
_HEADER = struct.Struct("<iIQQd")
_COUNTS = struct.Struct("<QI")
_ATTEMPT = struct.Struct("<16sii")
_ENTRY = struct.Struct("<16siiB")
_TEXT_LENGTH = struct.Struct("<I")
_COUNTS_AT = 64
_ENTRIES_AT = _COUNTS_AT + _COUNTS.size
_LOG_AT = _ENTRIES_AT + MAX_ATTEMPTS * _ENTRY.size
_CELLS = struct.Struct(f"{METRIC_CELLS}d")
# Aligned, so that the processor writes each at once.
_CELLS_AT = -(-(_LOG_AT + _TEXT_LENGTH.size + MAX_LOG_BYTES) // 8) * 8
_SIZE = _CELLS_AT + _CELLS.size
_READY_AT, _PULSE_AT, _PROGRESS_AT, _STARTED_AT = 4, 8, 16, 24
#: A child that can run shards, and one that also has a message whose shards it is about to claim.
_READY, _CLAIMS = 1, 2
#: How often to read attempts that the child is writing at that moment.
_MAX_READS = 100


class AttemptState(IntEnum):
    """What the child does with an attempt."""

    #: Claimed; another attempt runs.
    WAITING = 1
    #: Computed alone, or together with the others in this state.
    RUNNING = 2
    #: Computed, and being committed.
    COMMITTING = 3
    #: Not the current attempt any more, or past its time limit; the child has yet to stop it.
    STOPPING = 4


@dataclass(frozen=True)
class ShownAttempt:
    """One attempt on the board."""

    job_id: UUID
    shard: int
    attempt: int
    state: AttemptState

    @property
    def token(self) -> str:
        """As :attr:`~longshore.shared.ledger.records.Claim.token`."""
        return f"{self.job_id}/{self.shard}/{self.attempt}"


def pack_attempt(job_id: UUID, shard: int, attempt: int) -> bytes:
    """An attempt as it is on the board, without its state."""
    return _ATTEMPT.pack(job_id.bytes, shard, attempt)


class Board:
    """Both ends use it: the child writes, the parent reads."""

    def __init__(self, memory: mmap.mmap, file: IO[bytes] | None = None, path: Path | None = None) -> None:
        self._memory = memory
        self._file = file
        self.path = path

    @classmethod
    def create(cls) -> Board:
        """Make the board of a child that will be started: in shared memory, if the system has a folder for it."""
        folder = "/dev/shm" if os.access("/dev/shm", os.W_OK) else None
        descriptor, name = tempfile.mkstemp(prefix="longshore-board-", dir=folder)
        file = os.fdopen(descriptor, "r+b", buffering=0)
        file.truncate(_SIZE)
        return cls(mmap.mmap(file.fileno(), _SIZE), file, Path(name))

    @classmethod
    def open(cls, path: Path) -> Board:
        """Open the board that the parent has made, and remove its name, so that nothing stays behind.

        :raises OSError: it is not there.
        """
        file = path.open("ab+", buffering=0)
        path.unlink()
        return cls(mmap.mmap(file.fileno(), _SIZE), file)

    @classmethod
    def private(cls) -> Board:
        """A board that nobody reads: for a child without a parent."""
        return cls(mmap.mmap(-1, _SIZE))

    def close(self) -> None:
        """Remove it."""
        self._memory.close()
        if self._file is not None:
            self._file.close()
        if self.path is not None:
            self.path.unlink(missing_ok=True)

    @property
    def file(self) -> IO[bytes] | None:
        """Only on the child's side: what is written to it is appended, as the stack."""
        return self._file

    # The child writes.

    def set_pid(self, pid: int) -> None:
        """Show which process writes here."""
        struct.pack_into("<i", self._memory, 0, pid)

    def set_ready(self) -> None:
        """Show that the child can run shards."""
        struct.pack_into("<I", self._memory, _READY_AT, _READY)

    def set_claims(self, claims: bool) -> None:
        """Show whether the child, which is ready, has a message whose shards it is about to claim."""
        struct.pack_into("<I", self._memory, _READY_AT, _CLAIMS if claims else _READY)

    def beat(self) -> None:
        """Show that the interpreter runs."""
        self._increment(_PULSE_AT)

    def progress(self) -> None:
        """Show that the computation goes on."""
        self._increment(_PROGRESS_AT)

    def set_started(self, moment: float) -> None:
        """Show when the attempts that run began to, by ``time.monotonic()``."""
        struct.pack_into("<d", self._memory, _STARTED_AT, moment)

    def set_attempts(self, entries: Sequence[bytes]) -> None:
        """Show these attempts instead of those before.

        :param entries: each as :func:`pack_attempt` has packed it, and a byte with its state.
        """
        packed = b"".join(entries[:MAX_ATTEMPTS])
        version, _ = _COUNTS.unpack_from(self._memory, _COUNTS_AT)
        # An odd version: the parent reads again.
        _COUNTS.pack_into(self._memory, _COUNTS_AT, version + 1, 0)
        self._memory[_ENTRIES_AT : _ENTRIES_AT + len(packed)] = packed
        _COUNTS.pack_into(self._memory, _COUNTS_AT, version + 2, len(packed) // _ENTRY.size)

    def set_log(self, text: str) -> None:
        """Show the last lines of the log."""
        encoded = text.encode("utf-8", "replace")[-MAX_LOG_BYTES:]
        start = _LOG_AT + _TEXT_LENGTH.size
        self._memory[start : start + len(encoded)] = encoded
        _TEXT_LENGTH.pack_into(self._memory, _LOG_AT, len(encoded))

    def cells(self) -> memoryview[float]:
        """The numbers of the metrics, to be written. The board cannot be closed while this is in use."""
        return memoryview(self._memory)[_CELLS_AT:_SIZE].cast("d")

    # The parent reads.

    def read_cells(self) -> tuple[float, ...]:
        """The numbers of the metrics."""
        return _CELLS.unpack_from(self._memory, _CELLS_AT)

    @property
    def pid(self) -> int:
        """The process that writes here; 0 before it has begun."""
        return int(_HEADER.unpack_from(self._memory, 0)[0])

    @property
    def ready(self) -> bool:
        """Whether the child has ever been able to run shards."""
        return bool(_HEADER.unpack_from(self._memory, 0)[1])

    @property
    def claims(self) -> bool:
        """Whether the child has a message whose shards it is about to claim."""
        return bool(_HEADER.unpack_from(self._memory, 0)[1] == _CLAIMS)

    @property
    def pulse(self) -> int:
        """A number that changes every second while the interpreter runs."""
        return int(_HEADER.unpack_from(self._memory, 0)[2])

    @property
    def progressed(self) -> int:
        """A number that changes while the computation goes on."""
        return int(_HEADER.unpack_from(self._memory, 0)[3])

    @property
    def started(self) -> float:
        """When the attempts that run began to, by ``time.monotonic()``."""
        return float(_HEADER.unpack_from(self._memory, 0)[4])

    def attempts(self) -> list[ShownAttempt]:
        """The attempts that the child has; none if it was killed while it wrote them."""
        for _ in range(_MAX_READS):
            version, count = _COUNTS.unpack_from(self._memory, _COUNTS_AT)
            packed = self._memory[_ENTRIES_AT : _ENTRIES_AT + count * _ENTRY.size]
            if version % 2 == 0 and _COUNTS.unpack_from(self._memory, _COUNTS_AT) == (version, count):
                return [
                    ShownAttempt(UUID(bytes=job), shard, attempt, AttemptState(state))
                    for job, shard, attempt, state in _ENTRY.iter_unpack(packed)
                ]
        return []

    def log(self) -> str:
        """The last lines of the log since the attempts began to run."""
        (length,) = _TEXT_LENGTH.unpack_from(self._memory, _LOG_AT)
        start = _LOG_AT + _TEXT_LENGTH.size
        return self._memory[start : start + min(length, MAX_LOG_BYTES)].decode(errors="replace")

    def stack(self) -> str:
        """What :mod:`faulthandler` has written; empty if the file is gone."""
        if self._file is None:
            return ""
        return os.pread(self._file.fileno(), MAX_STACK_BYTES, _SIZE).decode(errors="replace")

    def _increment(self, position: int) -> None:
        (value,) = struct.unpack_from("<Q", self._memory, position)
        struct.pack_into("<Q", self._memory, position, value + 1)
