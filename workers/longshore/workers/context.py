"""What a worker process keeps between two shards. :mod:`~longshore.workers.process.assemble` puts it together."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch

from longshore.broker.coalescing import Coalescer
from longshore.broker.outages import Outage
from longshore.shared.ledger.ledger import Ledger
from longshore.shared.ledger.records import Ticket
from longshore.shared.store.store import Store
from longshore.workers.batching.async_commit import AsyncCommitter
from longshore.workers.batching.delay import BatchDelay
from longshore.workers.generate.engine_cache import EngineCache
from longshore.workers.generate.session.text_streams import TextPublisher
from longshore.workers.inputs.prefetch import ShardPrefetcher
from longshore.workers.inputs.reading import Inputs
from longshore.workers.models.batch_size_cache import BatchSizeCache
from longshore.workers.models.cache import ModelCache
from longshore.workers.process.draining import Draining
from longshore.workers.process.logs.attempt_logs import AttemptLogs
from longshore.workers.process.monitoring.cells import WorkerMetrics
from longshore.workers.process.progress_reporter import ProgressEvents
from longshore.workers.process.settings import WorkerSettings
from longshore.workers.process.watchdog.show import Shown


@dataclass(frozen=True, kw_only=True)
class WorkerContext:
    """One worker's services, device and caches."""

    worker: WorkerSettings
    device: torch.device
    ledger: Ledger
    store: Store
    inputs: Inputs
    #: Loaded versions.
    models: ModelCache
    #: Open engines of language models.
    engines: EngineCache
    #: Publishes texts while they are written.
    texts: TextPublisher
    batch_sizes: BatchSizeCache
    draining: Draining
    #: How Postgres is seen to be away when shards are claimed.
    postgres: Outage
    #: Claims and reads the next shard of a job while the current one is computed.
    prefetcher: ShardPrefetcher
    #: Commits one batch of small shards while the next is computed.
    committer: AsyncCommitter
    batch_delay: BatchDelay
    #: Publishes tickets of shards that this worker has planned.
    publish: Callable[[Sequence[Ticket]], None]
    #: Coalesces the messages of small shards.
    coalescer: Coalescer
    progress_events: ProgressEvents
    #: Writes what attempts say to the ledger.
    logs: AttemptLogs
    #: What the worker's parent sees.
    shown: Shown
    #: What this process counts for operators.
    metrics: WorkerMetrics
