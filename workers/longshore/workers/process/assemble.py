"""Puts a worker's context together, and takes it apart."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from pathlib import Path

import platformdirs
import psutil
import torch

from longshore.broker.coalescing import Coalescer
from longshore.broker.outages import Outage
from longshore.broker.redis_address import parse_redis_url
from longshore.shared.ledger.ledger import Ledger
from longshore.shared.ledger.records import Ticket
from longshore.shared.settings import Settings
from longshore.shared.store.store import Store
from longshore.workers.batching.async_commit import AsyncCommitter
from longshore.workers.batching.delay import BatchDelay
from longshore.workers.context import WorkerContext
from longshore.workers.generate.engine_cache import EngineCache
from longshore.workers.generate.engines.options import EngineOptions
from longshore.workers.generate.session.text_streams import TextPublisher
from longshore.workers.inputs.inline_blocks import InlineBlocks
from longshore.workers.inputs.prefetch import ShardPrefetcher
from longshore.workers.inputs.reading import Inputs
from longshore.workers.models.batch_size_cache import BatchSizeCache
from longshore.workers.models.cache import ModelCache, ModelKey
from longshore.workers.process.draining import Draining
from longshore.workers.process.logs.attempt_logs import AttemptLogs
from longshore.workers.process.progress_reporter import ProgressEvents
from longshore.workers.process.settings import WorkerSettings
from longshore.workers.process.watchdog.show import Shown
from longshore.workers.runtimes.base import Runtime
from longshore.workers.runtimes.loading import load

#: The share of a device's memory that loaded models may take, unless ``LONGSHORE_RESIDENT_BYTES`` gives a number.
MODEL_MEMORY_SHARE = 0.5


def assemble_context(
    settings: Settings,
    worker: WorkerSettings,
    publish: Callable[[Sequence[Ticket]], None],
    coalescer: Coalescer,
    progress_events: ProgressEvents,
    shown: Shown,
) -> WorkerContext:
    """Connect to the services, take the device and make the caches.

    :raises ServiceUnavailable: a service cannot be reached.
    """
    device = torch.device(worker.device)
    torch.set_num_threads(worker.threads)
    ledger = Ledger(settings.database_url, f"longshore worker {worker.name}", plan_anew=True)
    store = Store(settings.store, expected=ledger.models.exist)
    inputs = Inputs(InlineBlocks(ledger, store))
    draining = Draining()

    def load_model(key: ModelKey) -> Runtime:
        return load(store.get_manifest(key.digest), store.fetch_blob, device, key.execution)

    capacity = worker.resident_bytes or _default_capacity_bytes(device)
    folders = (settings.home or Path(platformdirs.user_cache_dir("longshore"))) / "language-models"
    options = EngineOptions.of_worker(
        worker.engine_cache_bytes, worker.engine_memory_share, worker.engine_requests, worker.devices
    )
    engines = EngineCache(capacity, device, store, folders, options)
    models = ModelCache(capacity, load_model, engines.free)
    return WorkerContext(
        worker=worker,
        device=device,
        ledger=ledger,
        store=store,
        inputs=inputs,
        models=models,
        engines=engines,
        texts=TextPublisher(parse_redis_url(settings.redis_url)),
        batch_sizes=BatchSizeCache(ledger, device),
        draining=draining,
        postgres=Outage("Postgres", logging.getLogger("longshore.workers.execution")),
        prefetcher=ShardPrefetcher(ledger, inputs, models, draining, worker, shown),
        committer=AsyncCommitter(),
        batch_delay=BatchDelay(),
        publish=publish,
        coalescer=coalescer,
        progress_events=progress_events,
        logs=AttemptLogs(ledger, shown),
        shown=shown,
        metrics=shown.metrics,
    )


def close_context(context: WorkerContext) -> None:
    """Commit what is computed and write the last log, then close the connections."""
    context.committer.close()
    context.engines.close()
    context.texts.close()
    context.logs.close()
    context.ledger.close()


def _default_capacity_bytes(device: torch.device) -> int:
    if device.type == "cuda":
        total = torch.cuda.get_device_properties(device).total_memory
    else:
        total = psutil.virtual_memory().total
    return int(total * MODEL_MEMORY_SHARE)
