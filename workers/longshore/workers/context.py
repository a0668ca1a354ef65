"""What a worker process holds between two shards."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence

import psutil
import torch

from longshore.shared.ledger.ledger import Ledger
from longshore.shared.ledger.records import Ticket
from longshore.shared.settings import Settings
from longshore.shared.store.store import Store
from longshore.workers.draining import Draining
from longshore.workers.inference.blocks import Blocks
from longshore.workers.inference.reading import Inputs
from longshore.workers.residents import Residents
from longshore.workers.runtimes.base import Runtime
from longshore.workers.runtimes.loading import load
from longshore.workers.settings import WorkerSettings

log = logging.getLogger("longshore.worker")

#: The share of a device's memory that models may stay resident in.
RESIDENT_SHARE = 0.5


class WorkerContext:
    """One worker's ledger, store, device and loaded models.

    :param publish: puts tickets into the queue, for shards that this worker has cut.
    """

    def __init__(self, settings: Settings, worker: WorkerSettings, publish: Callable[[Sequence[Ticket]], None]) -> None:
        self.worker = worker
        self.device = torch.device(worker.device)
        torch.set_num_threads(worker.threads)
        self.ledger = Ledger(settings.database_url, f"longshore worker {worker.name}")
        self.store = Store(settings.store)
        self.inputs = Inputs(Blocks(self.ledger, self.store))
        self.residents = Residents(worker.resident_bytes or _default_capacity(self.device), self._load)
        self.draining = Draining()
        self.publish = publish

    def close(self) -> None:
        """Give connections back."""
        self.ledger.close()

    def _load(self, digest: str) -> Runtime:
        manifest = self.store.get_manifest(digest)
        return load(manifest, self.store.fetch_blob(manifest.weights), self.device)


def _default_capacity(device: torch.device) -> int:
    if device.type == "cuda":
        total = torch.cuda.get_device_properties(device).total_memory
    else:
        total = psutil.virtual_memory().total
    return int(total * RESIDENT_SHARE)
