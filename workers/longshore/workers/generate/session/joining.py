"""Claims more shards for a session while it runs: small ones of its model, and the next of its jobs."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Collection
from dataclasses import replace
from types import TracebackType
from typing import Final
from uuid import UUID

from longshore.shared.errors import ServiceUnavailable
from longshore.shared.ledger.records import Claim
from longshore.shared.ledger.shards.batching import MAX_BATCH_SHARDS
from longshore.workers.context import WorkerContext

log = logging.getLogger(__name__)

#: Seconds between two claims.
CLAIM_INTERVAL_S: Final = 0.05
#: Seconds between two looks at what waits, and until a job is asked again that had no next shard.
LOOK_INTERVAL_S: Final = 1.0
#: Seconds in which shards join though other work waits that is as urgent.
MAX_JOINING_S: Final = 60.0
#: Shards of a session after which none joins: what it knows of them takes memory, and the next one begins at once.
MAX_SESSION_SHARDS: Final = 10_000


class Joiner:
    """Claims in a thread; a context manager. Shards that have failed before join nobody.

    :param first: the claim that the session began with.
    :param batch_key: that of small shards of the model.
    :param take: takes claims, in the thread.
    """

    def __init__(
        self, context: WorkerContext, first: Claim, batch_key: str, take: Callable[[list[Claim]], None]
    ) -> None:
        self._context = context
        self._batch_key = batch_key
        self._take = take
        self._lock = threading.Lock()
        #: The last claim of each job whose next shard can be claimed.
        self._last: dict[UUID, Claim] = {}
        self._asked: dict[UUID, float] = {}
        self._jobs: set[UUID] = set()
        #: Of these, those that have no shard in the session any more.
        self._gone: set[UUID] = set()
        self._begun = 0
        self._template = replace(first, batch_key=batch_key)
        self._room = 0
        self._shards = 0
        self._began_at = time.monotonic()
        self._looked_at = float("-inf")
        self._others_wait = False
        self._stopped = threading.Event()
        self._thread = threading.Thread(target=self._run, name="joiner", daemon=True)

    def began(self, claims: Collection[Claim]) -> None:
        """These belong to the session from now on."""
        with self._lock:
            self._begun += len(claims)
            for claim in claims:
                self._jobs.add(claim.job_id)
                self._gone.discard(claim.job_id)
                if claim.batch_key is None and not claim.failed_before:
                    self._last[claim.job_id] = claim

    def left(self, job: UUID) -> None:
        """The session has no shard of a job any more. It is asked once more for its next one."""
        with self._lock:
            if job in self._last:
                self._gone.add(job)
            else:
                self._jobs.discard(job)

    def set_room(self, rows: int, shards: int, priority: int) -> None:
        """What the session can take.

        :param rows: rows for which the engine has room; claimed shards have no more, but one.
        :param shards: shards that it has.
        :param priority: that of the least urgent of them. Less urgent ones do not join.
        """
        self._room, self._shards = rows, shards
        if priority != self._template.priority:
            self._template = replace(self._template, priority=priority)

    def __enter__(self) -> Joiner:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stopped.set()
        self._thread.join()

    def _run(self) -> None:
        while not self._stopped.wait(CLAIM_INTERVAL_S):
            full = self._shards >= MAX_BATCH_SHARDS or self._begun >= MAX_SESSION_SHARDS
            if self._room <= 0 or full or self._context.draining.requested:
                continue
            try:
                if self._may_join():
                    self._claim()
            except ServiceUnavailable as error:
                log.warning("%s; no shard joins now", error)
            except Exception:  # the session goes on without
                log.exception("no shard joins now")
                self._stopped.wait(LOOK_INTERVAL_S)

    def _claim(self) -> None:
        attempts, worker = self._context.ledger.attempts, self._context.worker
        room = self._room
        claims = attempts.claim_more(
            *(self._template, min(MAX_BATCH_SHARDS - self._shards, room), room), worker=worker.name, lease=worker.lease
        )
        self._add(claims)
        room -= sum(claim.stop - claim.start for claim in claims)
        for job, last in self._candidates():
            if room <= 0 or self._stopped.is_set():
                return
            following = attempts.claim_next(last, worker=worker.name, lease=worker.lease)
            if following is None:
                self._nothing_follows(job)
                continue
            self._add([following])
            room -= following.stop - following.start

    def _nothing_follows(self, job: UUID) -> None:
        with self._lock:
            self._asked[job] = time.monotonic()
            if job in self._gone:
                self._gone.discard(job)
                self._jobs.discard(job)
                self._last.pop(job, None)
                self._asked.pop(job, None)

    def _candidates(self) -> list[tuple[UUID, Claim]]:
        with self._lock:
            last = list(self._last.items())
        due = time.monotonic() - LOOK_INTERVAL_S
        return [(job, claim) for job, claim in last if self._asked.get(job, float("-inf")) < due]

    def _add(self, claims: list[Claim]) -> None:
        if claims:
            self.began(claims)
            # Until the session has counted them.
            self._room -= sum(claim.stop - claim.start for claim in claims)
            self._take(claims)

    def _may_join(self) -> bool:
        """Whether no other work has to go first. Work is looked at that a worker on this device takes."""
        now = time.monotonic()
        if now - self._looked_at < LOOK_INTERVAL_S:
            return not self._others_wait
        self._looked_at = now
        on_gpu = self._context.worker.device != "cpu"
        own = (self._template.queue == "gpu", self._template.priority)
        with self._lock:
            jobs = set(self._jobs)
        others = [
            (each.queue == "gpu", each.priority)
            for each in self._context.ledger.attempts.first_waiting(["cpu", "gpu"] if on_gpu else ["cpu"])
            if each.job_id not in jobs and each.batch_key != self._batch_key
        ]
        long = now - self._began_at > MAX_JOINING_S
        self._others_wait = any(other > own or (long and other >= own) for other in others)
        return not self._others_wait
