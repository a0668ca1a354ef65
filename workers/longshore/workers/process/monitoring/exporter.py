"""The parent's side of a worker's metrics: it reads what its child has counted, and serves it."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from prometheus_client import CONTENT_TYPE_LATEST, CollectorRegistry, generate_latest
from prometheus_client.core import (
    CounterMetricFamily,
    GaugeMetricFamily,
    HistogramMetricFamily,
    InfoMetricFamily,
    Metric,
)
from prometheus_client.registry import Collector

from longshore.broker.monitoring.server import MetricsServer
from longshore.shared.ledger.workers import Presence
from longshore.workers.process.monitoring.cells import Count, Distribution, Measurement, buckets_of
from longshore.workers.process.watchdog.rules import LossCause
from longshore.workers.process.watchdog.watchdog import Watchdog

OUTCOMES: Final = {
    "committed": Count.SHARDS_COMMITTED,
    "failed": Count.SHARDS_FAILED,
    "deferred": Count.SHARDS_DEFERRED,
    "released": Count.SHARDS_RELEASED,
    "lost": Count.SHARDS_LOST,
}
DISTRIBUTIONS: Final = {
    Distribution.RUN_SECONDS: ("run_seconds", "Seconds of a run: of a shard, or of small shards that run together."),
    Distribution.COMMIT_SECONDS: ("commit_seconds", "Seconds to commit the outputs of a run of inference."),
    Distribution.BATCH_ROWS: ("batch_rows", "Rows of a forward pass of inference."),
}


def start_serving(server: MetricsServer, watchdog: Watchdog, presence: Presence, stall_timeout: float) -> None:
    """Answer requests.

    :param presence: what the worker reports of itself.
    :param stall_timeout: seconds without a check of the watchdog after which the worker has to be restarted.
    """
    registry = CollectorRegistry()
    registry.register(WorkerCollector(watchdog, presence))

    def live() -> str | None:
        silent_s = watchdog.silent_s
        return f"the watchdog has checked nothing for {silent_s:.0f} s" if silent_s > stall_timeout else None

    def ready() -> str | None:
        return None if watchdog.ready else "no child is ready to run shards"

    server.start(lambda: (CONTENT_TYPE_LATEST, generate_latest(registry)), live, ready)


class WorkerCollector(Collector):
    """Reads the numbers when Prometheus asks."""

    def __init__(self, watchdog: Watchdog, presence: Presence) -> None:
        self._watchdog = watchdog
        self._presence = presence

    def collect(self) -> Iterator[Metric]:
        """All metrics of the worker."""
        cells = self._watchdog.read_cells()
        info = {"worker": self._presence.name, "device": self._presence.device, "queue": self._presence.queue}
        yield InfoMetricFamily("longshore_worker", "The worker.", info)
        yield _gauge("worker_ready", "Whether the child can run shards.", self._watchdog.ready)
        shards = CounterMetricFamily("longshore_shards", "Shards by how their attempt has ended.", labels=["outcome"])
        for outcome, count in OUTCOMES.items():
            shards.add_metric([outcome], cells[count])
        yield shards
        yield self._attempts_lost()
        for which, (name, text) in DISTRIBUTIONS.items():
            buckets, total = buckets_of(cells, which)
            yield HistogramMetricFamily(f"longshore_{name}", text, buckets=buckets, sum_value=total)
        rows = buckets_of(cells, Distribution.BATCH_ROWS)[1]
        yield _counter("inference_rows", "Rows that went through a model.", rows)
        yield _counter("model_loads", "Versions that were loaded.", cells[Count.MODEL_LOADS])
        yield _counter("model_evictions", "Versions that were unloaded to make room.", cells[Count.MODEL_EVICTIONS])
        yield _counter("prompt_tokens", "Tokens of prompts that were computed.", cells[Count.PROMPT_TOKENS])
        yield _counter("generated_tokens", "Tokens that were generated.", cells[Count.GENERATED_TOKENS])
        yield _gauge("models_loaded", "Versions that are loaded.", cells[Measurement.MODELS])
        yield _gauge("models_loaded_bytes", "Memory of the versions that are loaded.", cells[Measurement.MODEL_BYTES])
        connections = GaugeMetricFamily("longshore_postgres_connections", "Connections of the pool.", labels=["state"])
        connections.add_metric(["used"], cells[Measurement.CONNECTIONS_USED])
        connections.add_metric(["idle"], cells[Measurement.CONNECTIONS_IDLE])
        yield connections
        if total_bytes := cells[Measurement.DEVICE_TOTAL_BYTES]:
            yield _gauge("device_memory_bytes", "Memory of the first GPU.", total_bytes)
            yield _gauge("device_memory_used_bytes", "Memory of it in use.", cells[Measurement.DEVICE_USED_BYTES])
            if (utilization := cells[Measurement.DEVICE_UTILIZATION]) >= 0:
                yield _gauge("device_utilization_ratio", "Share of the time in which it computed.", utilization)

    def _attempts_lost(self) -> CounterMetricFamily:
        lost = self._watchdog.attempts_lost()
        text = "Attempts that have ended with their process."
        family = CounterMetricFamily("longshore_attempts_lost", text, labels=["cause"])
        for cause in LossCause:
            family.add_metric([cause], lost.get(cause, 0))
        return family


def _gauge(name: str, text: str, value: float) -> GaugeMetricFamily:
    return GaugeMetricFamily(f"longshore_{name}", text, value)


def _counter(name: str, text: str, value: float) -> CounterMetricFamily:
    return CounterMetricFamily(f"longshore_{name}", text, value)
