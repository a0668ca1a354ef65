"""Commits the rows of a session, and saves its texts, in a thread, while the engine goes on."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Final

import pyarrow as pa
from psycopg.errors import UniqueViolation

from longshore.shared.errors import ServiceUnavailable
from longshore.shared.ledger.ledger import Ledger
from longshore.shared.ledger.shards.copy_rows import result_lines
from longshore.workers.batching.async_commit import COMMIT_THREAD
from longshore.workers.generate.session.saving import UnsavedText
from longshore.workers.generate.session.shards import Part, RunningShard
from longshore.workers.process.monitoring.cells import Distribution, WorkerMetrics

log = logging.getLogger(__name__)

#: Seconds between two tries while Postgres cannot be reached.
RETRY_INTERVAL_S: Final = 1.0


@dataclass
class Committed:
    """What has become of a commit."""

    #: Shards whose rows are committed.
    committed: list[RunningShard] = field(default_factory=list)
    #: Shards whose attempt is not the current one any more.
    lost: list[RunningShard] = field(default_factory=list)
    #: Shards whose rows cannot be committed, with the error.
    failed: list[tuple[RunningShard, Exception]] = field(default_factory=list)


class RowCommitter:
    """One commit at a time. If Postgres cannot be reached, it is tried again until the session gives up."""

    def __init__(self, ledger: Ledger, metrics: WorkerMetrics) -> None:
        self._ledger = ledger
        self._metrics = metrics
        self._thread = ThreadPoolExecutor(1, COMMIT_THREAD)
        self._future: Future[Committed] | None = None
        self._given_up = threading.Event()

    @property
    def busy(self) -> bool:
        """Whether a commit is under way, or has ended and was not looked at."""
        return self._future is not None

    def submit(self, parts: Sequence[Part], texts: Sequence[UnsavedText] = ()) -> None:
        """Commit rows, and save texts. Call :meth:`result` before the next."""
        self._future = self._thread.submit(self._commit, parts, texts)

    def result(self, *, wait: bool = False) -> Committed | None:
        """The end of the commit; ``None`` if there is none, or it goes on.

        :param wait: until it has ended.
        """
        future = self._future
        if future is None or not (wait or future.done()):
            return None
        self._future = None
        return future.result()

    def give_up(self) -> None:
        """Do not try a commit again that fails because Postgres cannot be reached."""
        self._given_up.set()

    def close(self) -> None:
        """Give up, and end the thread."""
        self.give_up()
        self._thread.shutdown()

    def _commit(self, parts: Sequence[Part], texts: Sequence[UnsavedText]) -> Committed:
        end = Committed()
        if parts:
            self._commit_rows(parts, end)
        if texts:
            self._save(texts, end)
        return end

    def _save(self, texts: Sequence[UnsavedText], end: Committed) -> None:
        shards = {text.run.shard.name: text.run.shard for text in texts}
        try:
            lost = self._ledger.attempts.save_texts([(text.run.shard.claim, text.part) for text in texts])
        except Exception as error:  # the texts themselves are generated all the same
            log.warning("texts of %d shards were not saved: %s; saving them later", len(shards), error)
            for text in texts:
                text.run.forget_saved()
        else:
            end.lost += [shards[name] for name in lost]

    def _commit_rows(self, parts: Sequence[Part], end: Committed) -> None:
        started = time.perf_counter()
        for keyed in (False, True):
            if alike := [part for part in parts if part.keyed == keyed]:
                self._commit_or_split(alike, keyed, end)
        self._metrics.observe(Distribution.COMMIT_SECONDS, time.perf_counter() - started)

    def _commit_or_split(self, parts: Sequence[Part], keyed: bool, end: Committed) -> None:
        try:
            self._commit_persistently(parts, keyed, end)
        except Exception as error:  # any error: the shard that causes it meets it alone
            if len(parts) == 1 or isinstance(error, ServiceUnavailable):
                end.failed += [(part.shard, error) for part in parts]
                return
            log.warning("rows of %d shards were not committed: %s; committing each alone", len(parts), error)
            for part in parts:
                self._commit_or_split([part], keyed, end)

    def _commit_persistently(self, parts: Sequence[Part], keyed: bool, end: Committed) -> None:
        unsure = late = False
        while True:
            try:
                if unsure:  # the answer was lost, and perhaps not the commit
                    parts = [part.without(self._ledger.attempts.done_rows(part.shard.claim)) for part in parts]
                self._commit_current(parts, keyed, end)
            except ServiceUnavailable as error:
                if self._given_up.wait(RETRY_INTERVAL_S):
                    raise
                log.warning("%s; the rows of %d shards are committed later", error, len(parts))
                unsure, late = True, False
            except UniqueViolation:
                if late or not unsure:
                    raise
                late = True  # what was unsure has taken effect after the rows were read: read them again
            else:
                return

    def _commit_current(self, parts: Sequence[Part], keyed: bool, end: Committed) -> None:
        """Commit those whose attempt is the current one."""
        left = {part.shard.name: part for part in parts}
        lost: list[RunningShard] = []
        while left:
            names = self._ledger.attempts.commit_rows(
                [part.committed() for part in left.values()], _lines(list(left.values()), keyed), keyed=keyed
            )
            if not names:
                break
            lost += [left.pop(name).shard for name in names]
        end.committed += [part.shard for part in left.values()]
        end.lost += lost


def _lines(parts: Sequence[Part], keyed: bool) -> memoryview:
    """The rows with results, as lines for ``COPY``."""
    rows = [(part.shard.claim, row) for part in parts for row in part.rows if row.output is not None]
    if not rows:
        return memoryview(b"")
    return result_lines(
        pa.array([str(claim.job_id) for claim, _ in rows]),
        pa.array([row.number for _, row in rows], pa.int64()),
        pa.array([row.output for _, row in rows], pa.large_string()),
        pa.array([row.key for _, row in rows], pa.large_string()) if keyed else None,
    )
