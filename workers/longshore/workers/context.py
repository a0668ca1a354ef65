"""What a worker process holds between two shards."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence

import psutil
import torch

from longshore.broker.coalescing import Coalescer
from longshore.shared.ledger.ledger import Ledger
from longshore.shared.ledger.records import Claim, Ticket
from longshore.shared.settings import Settings
from longshore.shared.specs.jobs import InferSpec
from longshore.shared.store.store import Store
from longshore.workers.batching.async_commit import Tail
from longshore.workers.batching.delay import Pace
from longshore.workers.inputs.inline_blocks import Blocks
from longshore.workers.inputs.prefetch import Upcoming
from longshore.workers.inputs.reading import Inputs
from longshore.workers.models.batch_size_cache import KnownBatchSizes
from longshore.workers.models.cache import Resident, Residents
from longshore.workers.process.draining import Draining
from longshore.workers.process.progress_reporter import TaskEvents
from longshore.workers.process.settings import WorkerSettings
from longshore.workers.runtimes.base import Execution, Runtime
from longshore.workers.runtimes.loading import load

log = logging.getLogger("longshore.worker")

#: The share of a device's memory that models may stay resident in.
RESIDENT_SHARE = 0.5


class WorkerContext:
    """One worker's ledger, store, device and loaded models.

    :param publish: puts tickets into the queue, for shards that this worker has cut.
    :param coalescer: publishes one message for many small shards.
    :param events: tells monitors how far a task is.
    """

    def __init__(
        self,
        settings: Settings,
        worker: WorkerSettings,
        publish: Callable[[Sequence[Ticket]], None],
        coalescer: Coalescer,
        events: TaskEvents,
    ) -> None:
        self.worker = worker
        self.device = torch.device(worker.device)
        torch.set_num_threads(worker.threads)
        self.ledger = Ledger(settings.database_url, f"longshore worker {worker.name}", plan_anew=True)
        self.store = Store(settings.store)
        self.inputs = Inputs(Blocks(self.ledger, self.store))
        self.residents = Residents(worker.resident_bytes or _default_capacity(self.device), self._load)
        self.batch_sizes = KnownBatchSizes(self.ledger, self.device)
        self.draining = Draining()
        self.upcoming = Upcoming()
        self.tail = Tail()
        self.publish = publish
        self.coalescer = coalescer
        self.pace = Pace()
        self.events = events

    def close(self) -> None:
        """Commit what is computed, and give connections back."""
        self.tail.close()
        self.ledger.close()

    def runtime(self, claim: Claim, spec: InferSpec) -> Runtime:
        """The version that a shard runs, loaded as its job asks for it."""
        if claim.digest is None:
            raise ValueError(f"job {claim.job_id} has no version to run")
        return self.residents.get(Resident(claim.digest, Execution(spec.precision, spec.compile)))

    def _load(self, wanted: Resident) -> Runtime:
        manifest = self.store.get_manifest(wanted.digest)
        return load(manifest, self.store.fetch_blob, self.device, wanted.execution)


def _default_capacity(device: torch.device) -> int:
    if device.type == "cuda":
        total = torch.cuda.get_device_properties(device).total_memory
    else:
        total = psutil.virtual_memory().total
    return int(total * RESIDENT_SHARE)
