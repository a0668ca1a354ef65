"""One loop that runs the rows of many shards on one engine: it feeds, steps, collects and commits.

The loop belongs to one thread, which alone uses the engine. Rows are read, claimed and committed in threads of their
own. Each shard of the session ends by itself: committed, failed, lost or handed back.
"""

from __future__ import annotations

import logging
import queue
import threading
import time
from collections.abc import Sequence
from contextlib import ExitStack
from typing import Final

from longshore.shared.errors import AttemptLost, InvalidInput
from longshore.shared.ledger.records import Claim
from longshore.workers.attempt_ends import end, release
from longshore.workers.context import WorkerContext
from longshore.workers.generate.engines.base import Engine
from longshore.workers.generate.rows import PreparedRow
from longshore.workers.generate.session.committing import Committed, RowCommitter
from longshore.workers.generate.session.joining import Joiner
from longshore.workers.generate.session.leases import Leases
from longshore.workers.generate.session.progress import SessionCounts
from longshore.workers.generate.session.reading import RowFeed
from longshore.workers.generate.session.saving import TextSaver, UnsavedText
from longshore.workers.generate.session.shards import DoneRow, Part, ReadRow, RowRun, RunningShard, ShardName
from longshore.workers.process.heartbeat import ShardTimedOut
from longshore.workers.process.monitoring.cells import Count, Distribution

log = logging.getLogger(__name__)

#: Rows are committed when the last commit is so many seconds ago, or when there are so many.
COMMIT_INTERVAL_S: Final = 1.0
COMMIT_ROWS: Final = 128
#: Characters of a commit, about: it locks its shards, whose leases are not renewed meanwhile; and of the rows that wait
#: for theirs: with more, the engine gets no others.
COMMIT_SIZE: Final = 16 << 20
MAX_DONE_SIZE: Final = 256 << 20
#: Seconds that the loop waits for rows or a commit if the engine has nothing to do.
IDLE_WAIT_S: Final = 0.05


class GenerationSession:
    """Runs shards until none is left.

    :param engine: runs the rows. The session leaves no request in it.
    :param first: the claim that it begins with.
    :param model_key: that of the engine's model.
    :param batch_key: that of small shards of the model.
    """

    def __init__(
        self,
        context: WorkerContext,
        engine: Engine,
        first: Claim,
        *,
        model_key: str,
        batch_key: str,
        counts: SessionCounts,
        leases: Leases,
    ) -> None:
        self._context = context
        self._engine = engine
        self._first = first
        self.counts = counts
        #: Every claim that it has had.
        self.claims: list[Claim] = []
        #: How each of its shards has ended.
        self.ends: list[Count] = []
        self._shards: dict[ShardName, RunningShard] = {}
        self._rows: dict[int, RowRun] = {}
        self._leases = leases
        self._wake = threading.Event()
        self._feed = RowFeed(context, model_key, self._wake.set, counts)
        self._joined: queue.SimpleQueue[Claim] = queue.SimpleQueue()
        self._joiner = Joiner(context, first, batch_key, self._take_joined)
        self._committer = RowCommitter(context.ledger, context.metrics)
        self._saver = TextSaver(engine.texts, context.worker.text_save_interval)
        self._committed_at = time.monotonic()

    def run(self, claims: Sequence[Claim]) -> None:
        """Run shards to their ends, and others that join meanwhile.

        :param claims: their leases are renewed already.
        """
        try:
            with self._feed, ExitStack() as stack:
                stack.callback(self._end_joined)
                for claim in claims:
                    self._begin(claim)
                if not claims[0].failed_before:
                    self._joiner.began(claims)
                    stack.enter_context(self._joiner)
                self._loop()
        except Exception as error:  # the engine has failed, and with it every row that it has
            log.error("a session failed", exc_info=error)
            self._fail_all(error)
        finally:
            self._committer.close()

    def _loop(self) -> None:
        while self._shards or not self._joined.empty():
            self._context.shown.progress()
            self._begin_joined()
            if self._context.draining.requested:
                self._hand_back()
                return
            self._drop_lost()
            self._collect_commit(self._committer.result())
            self._end_read()
            self._fill()
            if self._engine.unfinished:
                self._step()
            else:
                self._wake.wait(IDLE_WAIT_S)
                self._wake.clear()
            self._commit_if_due()

    # What joins.

    def _take_joined(self, claims: list[Claim]) -> None:
        """Called in the joiner's thread: the leases are renewed from now on."""
        self._leases.add(claims)
        self._context.shown.waiting(claims)
        for claim in claims:
            self._joined.put(claim)
        self._wake.set()

    def _begin_joined(self) -> None:
        while not self._joined.empty():
            self._begin(self._joined.get())

    def _end_joined(self) -> None:
        """The joiner has ended: shards that the loop did not begin are handed back."""
        while not self._joined.empty():
            claim = self._joined.get()
            release(self._context, claim)
            self._leases.remove(claim)
            self._context.shown.ended([claim])

    def _begin(self, claim: Claim) -> None:
        shard = RunningShard.begin(self._context, claim)
        self._context.shown.running([claim])
        self.claims.append(claim)
        self.counts.total += shard.rows
        self._shards[shard.name] = shard
        self._feed.add(shard)

    # What runs.

    def _fill(self) -> None:
        """Give the engine rows, from each shard in turn."""
        room = self._engine.capacity - self._engine.unfinished
        room, taken = (room if self._done_size < MAX_DONE_SIZE else 0), False
        urgent = sorted(self._shards.values(), key=lambda shard: -shard.claim.priority)
        while room > 0:
            before = room
            for shard in urgent:
                if room > 0 and shard.waiting:
                    room -= self._start(shard, shard.waiting.popleft())
                    taken = True
            if room == before:
                break
        if taken:
            self._feed.taken()
        ahead = sum(len(shard.waiting) for shard in urgent)
        unread = sum(shard.rows for shard in urgent if shard.windows is None and not shard.read)
        priority = min((shard.claim.priority for shard in urgent), default=self._first.priority)
        self._joiner.set_room(room - ahead - unread if room > 0 else 0, len(urgent), priority)

    def _start(self, shard: RunningShard, row: ReadRow) -> int:
        """Give the engine a row. Returns how many requests it has."""
        prepared = row.prepared
        if not isinstance(prepared, PreparedRow):
            self._done(shard, DoneRow(row.number, None, prepared, row.key))
            return 1  # a window of bad rows must not keep the loop from stepping
        shard.computing_since = shard.computing_since or time.monotonic()
        run = RowRun(shard, row, prepared, [next(self._context.engines.ids) for _ in prepared.samplings])
        try:
            run.add_to(self._engine, self._context.texts)
        except InvalidInput as error:
            self._end_row(run, str(error))
            return 1
        self._rows |= dict.fromkeys(run.ids, run)
        shard.running[run.ids[0]] = run
        return len(run.ids)

    def _step(self) -> None:
        step = self._engine.step()
        self.counts.add(step, self._context.metrics)
        self._context.texts.add(step.new_tokens)
        self._saver.start(step.started, self._rows)
        for id_, reason in step.failures.items():
            if (run := self._rows.get(id_)) is not None:
                self._engine.cancel([each for each in run.ids if each != id_])
                self._end_row(run, reason)
        for completion in step.completions:
            if (run := self._rows.get(completion.id)) is None:
                continue
            self._context.texts.end(completion.id, completion.text)
            if run.take(completion):
                self._end_row(run, run.excess)
            elif run.excess is not None:
                self._engine.cancel(run.ids)
                self._end_row(run, run.excess)

    def _end_row(self, run: RowRun, error: str | None) -> None:
        """A row is complete, or has failed."""
        for id_ in run.ids:
            self._rows.pop(id_, None)
        self._context.texts.discard(run.ids)
        self._saver.end([run])
        run.shard.running.pop(run.ids[0], None)
        self._done(run.shard, run.done() if error is None else run.failed(error))

    def _done(self, shard: RunningShard, row: DoneRow) -> None:
        shard.add(row)
        self.counts.rows += 1

    # What is committed.

    @property
    def _done_size(self) -> int:
        return sum(shard.done_size for shard in self._shards.values())

    def _commit_if_due(self) -> None:
        if self._committer.busy:
            return
        ready = [shard for shard in self._shards.values() if shard.committable]
        due = sum(len(shard.done) for shard in ready) >= COMMIT_ROWS or self._done_size >= COMMIT_SIZE
        due = due or time.monotonic() - self._committed_at >= COMMIT_INTERVAL_S
        texts = self._saver.take_due()
        if texts or (ready and (due or any(shard.complete for shard in ready))):
            self._submit(ready, texts)

    def _submit(self, shards: list[RunningShard], texts: Sequence[UnsavedText]) -> None:
        parts: list[Part] = []
        room = COMMIT_SIZE
        for shard in shards:
            if room <= 0:
                break
            try:
                parts.append(shard.take_part(room))
                room -= parts[-1].size
            except RuntimeError as error:
                self._end(shard, error)
        if parts or texts:
            self._context.shown.committing([part.shard.claim for part in parts if part.finished_rows is not None])
            self._committer.submit(parts, texts)
        self._committed_at = time.monotonic()

    def _collect_commit(self, committed: Committed | None) -> None:
        if committed is None:
            return
        for shard in committed.committed:
            if shard.finishing and shard.name in self._shards:
                if shard.lines is not None:
                    shard.lines.done(shard.results + shard.errors)
                self._context.metrics.observe(Distribution.RUN_SECONDS, time.monotonic() - shard.began_at)
                self._context.metrics.count(Count.SHARDS_COMMITTED)
                self._drop(shard, Count.SHARDS_COMMITTED)
        for shard in committed.lost:
            self._lose(shard)
        for shard, error in committed.failed:
            if shard.name in self._shards:
                self._end(shard, error)

    # What ends otherwise.

    def _drop_lost(self) -> None:
        if self._leases.expired:
            for shard in list(self._shards.values()):
                self._lose(shard)
            self._committer.give_up()
            return
        for shard in [self._shards[name] for name in self._leases.take_lost(self._shards)]:
            if not shard.finishing:
                self._lose(shard)
        for shard in [each for each in self._shards.values() if each.is_late and not each.finishing]:
            self._end(shard, ShardTimedOut(self._context.worker.shard_timeout or 0.0))

    def _end_read(self) -> None:
        """End the shards whose rows could not be read."""
        for shard in list(self._shards.values()):
            if isinstance(shard.error, AttemptLost):
                self._lose(shard)
            elif shard.error is not None:
                self._end(shard, shard.error)

    def _end(self, shard: RunningShard, error: Exception) -> None:
        self._drop(shard, end(self._context, shard.claim, error))

    def _lose(self, shard: RunningShard) -> None:
        if shard.name in self._shards:
            self._context.metrics.count(Count.SHARDS_LOST)
            log.info("stopped %s: it is cancelled, or not the current attempt any more", shard.claim.token)
            self._drop(shard, Count.SHARDS_LOST)

    def _drop(self, shard: RunningShard, ended: Count) -> None:
        """The shard has no part in the session any more: its requests leave the engine at once."""
        self.ends.append(ended)
        del self._shards[shard.name]
        self.counts.total -= shard.rows - len(shard.before) - shard.results - shard.errors
        self._feed.remove(shard)
        ids = [id_ for run in shard.running.values() for id_ in run.ids]
        if ids:  # a session that has failed has closed its engine
            self._engine.cancel(ids)
        for id_ in ids:
            self._rows.pop(id_, None)
        self._context.texts.discard(ids)
        self._saver.end(shard.running.values())
        shard.running.clear()
        self._leases.remove(shard.claim)
        if not any(job == shard.claim.job_id for job, _ in self._shards):
            self._joiner.left(shard.claim.job_id)
        shard.stack.close()
        self._context.shown.ended([shard.claim])

    def _hand_back(self) -> None:
        """Commit what is done, save what texts have, and release the shards."""
        self._collect_commit(self._committer.result(wait=True))
        texts = self._saver.take_all()
        self._engine.cancel(list(self._rows))
        for shard in self._shards.values():
            self._feed.remove(shard)
        self._commit_rest(texts)
        for shard in list(self._shards.values()):
            self._drop(shard, release(self._context, shard.claim))

    def _fail_all(self, error: Exception) -> None:
        """The engine is of no use any more."""
        self._rows.clear()
        self._context.engines.drop(self._engine)
        for shard in self._shards.values():
            shard.running.clear()
            shard.error = shard.error or error
        self._commit_rest()
        for shard in list(self._shards.values()):
            self._end(shard, error)

    def _commit_rest(self, texts: Sequence[UnsavedText] = ()) -> None:
        self._collect_commit(self._committer.result(wait=True))
        while (ready := [shard for shard in self._shards.values() if shard.committable]) or texts:
            self._submit(ready, texts)
            texts = ()
            self._collect_commit(self._committer.result(wait=True))
