"""What a worker's child measures every few seconds: its models, its connections and its device."""

from __future__ import annotations

import threading
import time
from typing import Final

import torch

from longshore.broker.monitoring.address import metrics_address
from longshore.workers.context import WorkerContext
from longshore.workers.process.monitoring.cells import Count, Measurement

#: Seconds between two measurements.
SAMPLE_INTERVAL_S: Final = 1.0
#: A utilization that is not known: the package ``nvidia-ml-py`` is not installed.
UNKNOWN: Final = -1.0


def start_sampling(context: WorkerContext) -> None:
    """Measure in a thread for as long as the process runs; does nothing if no metrics are served."""
    if metrics_address() is not None:
        threading.Thread(target=_run, args=(context,), name="metrics samples", daemon=True).start()


def sample(context: WorkerContext) -> None:
    """Measure once."""
    metrics, models = context.metrics, context.models.usage
    metrics.set(Count.MODEL_LOADS, models.loads)
    metrics.set(Count.MODEL_EVICTIONS, models.evictions)
    metrics.set(Measurement.MODELS, models.versions)
    metrics.set(Measurement.MODEL_BYTES, models.nbytes)
    used, idle = context.ledger.database.pool_usage
    metrics.set(Measurement.CONNECTIONS_USED, used)
    metrics.set(Measurement.CONNECTIONS_IDLE, idle)
    if context.device.type == "cuda":
        free, total = torch.cuda.mem_get_info(context.device)
        metrics.set(Measurement.DEVICE_USED_BYTES, total - free)
        metrics.set(Measurement.DEVICE_UTILIZATION, _utilization(context.device))
        # The last one: whoever sees it sees the others, too.
        metrics.set(Measurement.DEVICE_TOTAL_BYTES, total)


def _utilization(device: torch.device) -> float:
    try:
        return torch.cuda.utilization(device) / 100
    except Exception:  # without the package, or a driver that answers, as one that is divided (MIG) does not
        return UNKNOWN


def _run(context: WorkerContext) -> None:
    while True:
        sample(context)
        time.sleep(SAMPLE_INTERVAL_S)
