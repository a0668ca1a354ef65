"""Claims and reads the next shard of a job while the last batches of the current one are computed.

A worker prefetches one shard at most, and only of the same job. The shard's own ticket then finds it claimed, and is
dropped.
"""

from __future__ import annotations

import logging
import threading
from dataclasses import dataclass

from longshore.shared.errors import ServiceUnavailable
from longshore.shared.ledger.ledger import Ledger
from longshore.shared.ledger.records import Claim
from longshore.shared.specs.jobs import InferSpec
from longshore.workers.inputs.reading import Inputs
from longshore.workers.inputs.shard_reader import ShardReader
from longshore.workers.models.cache import ModelCache
from longshore.workers.process.draining import Draining
from longshore.workers.process.heartbeat import Heartbeat
from longshore.workers.process.settings import WorkerSettings
from longshore.workers.process.watchdog.show import Shown

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class PrefetchedShard:
    """A shard that is claimed and does not run yet."""

    claim: Claim
    #: Renews its lease already.
    beat: Heartbeat
    #: ``None`` if reading could not begin: the run of the shard then raises the error.
    reader: ShardReader | None

    def close(self) -> None:
        """Stop reading and renewing."""
        if self.reader is not None:
            self.reader.windows.close()
        self.beat.stop()


class ShardPrefetcher:
    """Prefetches one worker's next shard. Only the thread that computes calls it."""

    def __init__(
        self,
        ledger: Ledger,
        inputs: Inputs,
        models: ModelCache,
        draining: Draining,
        worker: WorkerSettings,
        shown: Shown,
    ) -> None:
        self._shown = shown
        self._ledger = ledger
        self._inputs = inputs
        self._models = models
        self._draining = draining
        self._worker = worker
        self._thread: threading.Thread | None = None
        self._shard: PrefetchedShard | None = None
        self._reader: tuple[str, ShardReader] | None = None

    def open(self, claim: Claim, spec: InferSpec) -> ShardReader:
        """The reader of a shard: the prefetched one if there is one, else a new one.

        :raises DataError: the input is not what it was at submission.
        """
        prefetched, self._reader = self._reader, None
        if prefetched is not None and prefetched[0] == claim.token:
            return prefetched[1]
        runtime = self._models.for_job(claim, spec)
        return ShardReader(runtime, self._inputs, self._ledger, claim, spec)

    def begin(self, claim: Claim, spec: InferSpec) -> None:
        """Prefetch the next shard of a claim's job in a thread; does nothing if called again before :meth:`take`."""
        if self._thread is not None:
            return

        def prefetch() -> None:
            self._shard = self._next(claim, spec)

        self._thread = threading.Thread(target=prefetch, name="next shard", daemon=True)
        self._thread.start()

    def take(self) -> PrefetchedShard | None:
        """The prefetched shard, if there is one. The caller runs or releases it, and closes it."""
        if self._thread is None:
            return None
        self._thread.join()
        shard, self._shard, self._thread = self._shard, None, None
        self._reader = None if shard is None or shard.reader is None else (shard.claim.token, shard.reader)
        return shard

    def _next(self, claim: Claim, spec: InferSpec) -> PrefetchedShard | None:
        """Claim the next shard and start to read it; ``None`` if something else may have to run first."""
        # Small shards run in batches with others. A GPU worker takes jobs for GPUs before jobs for CPUs.
        for_cpu = claim.queue == "cpu" and self._worker.device != "cpu"
        if claim.batch_key is not None or claim.only_failed or for_cpu or self._draining.requested:
            return None
        try:
            following = self._ledger.attempts.claim_next(claim, worker=self._worker.name, lease=self._worker.lease)
        except ServiceUnavailable as error:
            log.info("%s; the next shard waits for its message", error)
            return None
        if following is None:
            return None
        self._shown.waiting([following])
        beat = Heartbeat(
            *(self._ledger, [following], self._worker.lease, self._draining, self._shown), self._worker.shard_timeout
        )
        beat.start()
        try:
            reader = ShardReader(self._models.for_job(following, spec), self._inputs, self._ledger, following, spec)
        except Exception as error:  # any error: the run of the shard raises it again
            log.debug("%s: %s", following.token, error)
            return PrefetchedShard(following, beat, None)
        reader.windows.start()
        return PrefetchedShard(following, beat, reader)
