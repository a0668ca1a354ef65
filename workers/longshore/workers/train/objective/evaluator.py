"""Metrics on held-out rows, computed by torchmetrics."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence

import torch
from torch import nn
from torchmetrics import Metric

from longshore.shared.specs.signature import Task
from longshore.workers.train.callbacks import Check
from longshore.workers.train.data.batches import HeldOutRows
from longshore.workers.train.data.rank_sharding import rank_batch
from longshore.workers.train.objective.losses import Loss
from longshore.workers.train.objective.metrics import WeightedMean, make_metrics
from longshore.workers.train.strategy.base import Strategy
from longshore.workers.train.strategy.single import Single

#: Minimum rows in one forward pass: without gradients more rows fit than in training.
_MIN_BATCH = 1024


class MetricsEvaluator:
    """Loss and quality of a network on held-out rows.

    :param rows: the rows to measure on.
    :param classes: the number of classes, or of labels for multilabel; ``None`` for regression.
    :param prefix: the prefix of the metric names: ``val_`` or ``test_``.
    :param names: the metrics besides the loss; see :func:`make_metrics`, also for ``task``.
    :param strategy: the devices that share the rows. torchmetrics sums their results.
    """

    def __init__(
        self,
        rows: HeldOutRows,
        classes: int | None,
        loss: Loss,
        batch: int,
        device: torch.device,
        prefix: str = "val_",
        names: Sequence[str] | None = None,
        task: Task | None = None,
        strategy: Strategy | None = None,
    ) -> None:
        self._rows = rows
        self._classes = classes
        self._batch = max(batch, _MIN_BATCH)
        self._loss = loss
        self._prefix = prefix
        self._strategy = strategy or Single()
        # With fewer rows than devices, each device measures all rows, which changes no mean.
        self._sharded = rows.count >= self._strategy.world_size
        self._mean_loss = WeightedMean().to(device)
        made = make_metrics(names, classes, rows.count, task)
        self._quality = {name: metric.to(device) for name, metric in made.items()}
        self._sets = task == "multilabel"

    @torch.no_grad()
    def run(self, network: nn.Module, check: Check) -> dict[str, float]:
        """Returns ``loss`` and the metrics, each with the prefix, without metrics that are not defined for these rows.

        Leaves ``network`` in evaluation mode.
        """
        network.eval()
        for inputs, targets, own in self._batches():
            check()
            outputs = network(inputs)
            if not own:
                continue
            self._mean_loss.update(self._loss(outputs, targets), len(targets))
            predictions, references = self._compared(outputs, targets)
            for metric in self._quality.values():
                metric.update(predictions, references)
        quality = {name: _compute_and_reset(metric) for name, metric in self._quality.items()}
        metrics = {"loss": _compute_and_reset(self._mean_loss)} | {
            key: value for key, value in quality.items() if math.isfinite(value)
        }
        return {self._prefix + name: value for name, value in metrics.items()}

    def _compared(self, outputs: torch.Tensor, targets: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Outputs and targets as the metrics take them."""
        if self._sets:
            # Explicit, because torchmetrics takes logits that all lie between 0 and 1 for probabilities.
            return outputs.sigmoid(), targets.long()
        single = outputs.shape[1] == 1 and targets.ndim == 1
        return outputs.squeeze(1) if single else outputs, targets

    def _batches(self) -> Iterator[tuple[torch.Tensor, torch.Tensor, int]]:
        """Inputs, targets, and how many of them count."""
        for inputs, targets in self._rows.in_order(self._batch):
            if self._sharded:
                (inputs, targets), own = rank_batch(self._strategy, inputs, targets)
                yield inputs, targets, own
            else:
                yield inputs, targets, len(targets)

    @torch.no_grad()
    def confusion(self, network: nn.Module, check: Check) -> list[list[int]]:
        """The confusion matrix of a classifier: rows by true class, then by predicted class.

        Leaves ``network`` in evaluation mode.
        """
        assert self._classes is not None
        network.eval()
        counts = torch.zeros(self._classes * self._classes, dtype=torch.int64)
        for inputs, targets, own in self._batches():
            check()
            pairs = targets * self._classes + network(inputs).argmax(dim=1)
            counts += torch.bincount(pairs[:own].cpu(), minlength=len(counts))
        if self._sharded:
            counts = self._strategy.all_reduce(counts)
        matrix: list[list[int]] = counts.reshape(self._classes, self._classes).tolist()
        return matrix


def _compute_and_reset(metric: Metric) -> float:
    value = float(metric.compute())
    metric.reset()
    return value
