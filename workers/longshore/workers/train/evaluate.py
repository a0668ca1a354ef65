"""Metrics on held-out rows, computed by torchmetrics."""

from __future__ import annotations

import math

import torch
from torch import nn
from torchmetrics import MeanMetric, Metric
from torchmetrics.classification import MulticlassAccuracy
from torchmetrics.regression import MeanAbsoluteError, R2Score

from longshore.workers.train.losses import Loss
from longshore.workers.train.outcome import Check
from longshore.workers.train.rows import HeldOutRows

#: Rows in one forward pass, at least: without gradients more fit than in training.
_MIN_BATCH = 1024


class Evaluation:
    """Loss and quality of a network on held-out rows.

    :param rows: those to evaluate on.
    :param classes: of a classifier; ``None`` for regression.
    :param prefix: of the metrics' names: ``val_`` or ``test_``.
    """

    def __init__(
        self,
        rows: HeldOutRows,
        classes: int | None,
        loss: Loss,
        batch: int,
        device: torch.device,
        prefix: str = "val_",
    ) -> None:
        self._rows = rows
        self._batch = max(batch, _MIN_BATCH)
        self._loss = loss
        self._prefix = prefix
        self._mean_loss = MeanMetric(nan_strategy="disable").to(device)
        self._quality = {name: metric.to(device) for name, metric in _metrics(classes, rows.count).items()}

    @torch.no_grad()
    def run(self, network: nn.Module, check: Check) -> dict[str, float]:
        """Give ``loss``, and ``accuracy`` or ``mae`` and ``r2``, each with the prefix.

        ``network`` is left in evaluation mode. ``r2`` is left out where it is not defined.
        """
        network.eval()
        for inputs, targets in self._rows.in_order(self._batch):
            check()
            outputs = network(inputs)
            single = outputs.shape[1] == 1 and targets.ndim == 1
            self._mean_loss.update(self._loss(outputs, targets), len(targets))
            for metric in self._quality.values():
                metric.update(outputs.squeeze(1) if single else outputs, targets)
        quality = {name: _take(metric) for name, metric in self._quality.items()}
        found = {"loss": _take(self._mean_loss)} | {key: it for key, it in quality.items() if math.isfinite(it)}
        return {self._prefix + name: value for name, value in found.items()}


def _metrics(classes: int | None, count: int) -> dict[str, Metric]:
    if classes is not None:
        return {"accuracy": MulticlassAccuracy(classes, average="micro", validate_args=False)}
    metrics: dict[str, Metric] = {"mae": MeanAbsoluteError()}
    # One row has no variance to explain.
    return metrics | {"r2": R2Score()} if count > 1 else metrics


def _take(metric: Metric) -> float:
    value = float(metric.compute())
    metric.reset()
    return value
