"""Loss and metrics of a network on held-out rows."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence

import numpy as np
import torch
from torch import nn

from longshore.shared.specs.signature import Task
from longshore.workers.metrics.predictions import predicted_classes
from longshore.workers.metrics.ranking import MAX_SCORES
from longshore.workers.train.callbacks import Check
from longshore.workers.train.data.batches import HeldOutRows
from longshore.workers.train.data.rank_sharding import rank_batch
from longshore.workers.train.objective.losses import Loss
from longshore.workers.train.objective.metrics import make_metrics
from longshore.workers.train.objective.rank_totals import RankTotals
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
    :param strategy: the devices that share the rows; each has the metrics of all rows.
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
        self._device = device
        self._names = names
        self._task = task
        make_metrics(names, classes, device, task)  # refuses unknown names before the training

    @property
    def notes(self) -> list[str]:
        """Notes on metrics that are left out, a sentence each."""
        too_many = self._rows.count * (self._classes or 0) > MAX_SCORES
        if not (too_many and "auroc" in (self._names or ())):
            return []
        size = f"{self._rows.count} rows of {self._classes} classes"
        return [f"{self._prefix}auroc is left out: {size} are too many to rank"]

    @torch.no_grad()
    def run(self, network: nn.Module, check: Check) -> dict[str, float]:
        """Returns ``loss`` and the metrics, each with the prefix, without metrics that are not defined for these rows.

        Leaves ``network`` in evaluation mode.
        """
        network.eval()
        sums = make_metrics(self._names, self._classes, self._device, self._task)
        loss = torch.zeros((), dtype=torch.float64, device=self._device)
        for inputs, targets, own in self._batches():
            check()
            outputs = network(inputs)
            if not own:
                continue
            # In float64, so that the loss does not depend on the batches.
            loss += self._loss(outputs.double(), _precise(targets)) * len(targets)
            sums.add(outputs, targets)
        totals = RankTotals(self._strategy, self._sharded)
        metrics = {"loss": float(totals.sums(loss).astype(np.float64)) / self._rows.count}
        metrics |= {name: value for name, value in sums.metrics(totals).items() if math.isfinite(value)}
        return {self._prefix + name: value for name, value in metrics.items()}

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
            pairs = targets * self._classes + predicted_classes(network(inputs))
            counts += torch.bincount(pairs[:own].cpu(), minlength=len(counts))
        if self._sharded:
            counts = self._strategy.all_reduce(counts)
        matrix: list[list[int]] = counts.reshape(self._classes, self._classes).tolist()
        return matrix


def _precise(targets: torch.Tensor) -> torch.Tensor:
    """Numbers in float64, and classes and labels as they are."""
    return targets.double() if targets.is_floating_point() else targets
