"""The best epoch of a training job: as its outcome says, or so far."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from longshore.producers.reporting.curves import STEP_PREFIX
from longshore.producers.reporting.human import metrics_line
from longshore.shared.ledger.records import JobRecord, MetricRecord
from longshore.shared.specs.search import lower_is_better

#: What epochs are compared by if the monitored metric is not measured.
_TRAIN_LOSS = "train_loss"


@dataclass(frozen=True)
class BestEpoch:
    """The first of the best epochs of a training."""

    #: From 1.
    epoch: int
    #: Epochs that were trained.
    epochs: int
    #: The metric by which epochs were compared.
    monitor: str
    #: Its metrics.
    metrics: Mapping[str, float]

    @property
    def is_last(self) -> bool:
        """Whether no epoch came after it."""
        return self.epoch == self.epochs

    @property
    def text(self) -> str:
        """``14 of 19: val_loss=0.351 val_accuracy=0.9``; the metric that was compared comes first.

        The metrics of the last epoch are shown elsewhere.
        """
        at = f"{self.epoch} of {self.epochs}"
        return f"{at}, by {self.monitor}" if self.is_last else f"{at}: {metrics_line(self.metrics, self.monitor)}"


def written_best_epoch(summary: Mapping[str, object]) -> BestEpoch | None:
    """The best epoch that the outcome of a job or the lineage of a version has; ``None`` if it has none."""
    epoch, epochs, monitor, best = (summary.get(key) for key in ("best_epoch", "epochs", "monitor", "best_metrics"))
    if isinstance(epoch, int) and isinstance(epochs, int) and isinstance(monitor, str) and isinstance(best, dict):
        numbers = {name: float(value) for name, value in best.items() if isinstance(value, int | float)}
        return BestEpoch(epoch, epochs, monitor, numbers)
    return None


def final_metrics_line(summary: Mapping[str, object]) -> str:
    """The metrics of the last epoch; empty if that was the best one, whose metrics are shown."""
    best = written_best_epoch(summary)
    return "" if best is None or best.is_last else metrics_line(summary.get("final_metrics"), best.monitor)


def best_epoch(record: JobRecord, metrics: Iterable[MetricRecord] = ()) -> BestEpoch | None:
    """The best epoch of a job.

    :param metrics: of a job that runs, or that was run by a release that wrote no best epoch.
    :returns: ``None`` for a job that is no training, and before the end of the first epoch.
    """
    written = written_best_epoch(record.outcome or {})
    if written is not None:
        return written
    return _of_metrics(str(record.spec.get("monitor")), metrics)


def _of_metrics(monitor: str, metrics: Iterable[MetricRecord]) -> BestEpoch | None:
    epochs: dict[int, dict[str, float]] = {}
    for metric in metrics:
        if not metric.name.startswith((STEP_PREFIX, "test_")):
            epochs.setdefault(metric.step, {})[metric.name] = metric.value
    name = monitor if any(monitor in values for values in epochs.values()) else _TRAIN_LOSS
    measured = [epoch for epoch in sorted(epochs) if name in epochs[epoch]]
    if not measured:
        return None
    sign = 1 if lower_is_better(name) else -1
    best = min(measured, key=lambda epoch: (sign * epochs[epoch][name], epoch))
    return BestEpoch(best, measured[-1], name, epochs[best])
