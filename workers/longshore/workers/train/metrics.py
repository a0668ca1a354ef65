"""Metrics of held-out rows by name, computed by torchmetrics. https://lightning.ai/docs/torchmetrics/stable/"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch.nn import functional
from torchmetrics import Metric
from torchmetrics.classification import (
    MulticlassAccuracy,
    MulticlassAUROC,
    MulticlassF1Score,
    MulticlassPrecision,
    MulticlassRecall,
)
from torchmetrics.regression import MeanAbsoluteError, MeanSquaredError, R2Score

from longshore.shared.errors import InvalidInput

#: Of n classes; means over the classes, but for the accuracy.
_OF_CLASSES: dict[str, Callable[[int], Metric]] = {
    "accuracy": lambda n: MulticlassAccuracy(n, average="micro", validate_args=False),
    "precision": lambda n: MulticlassPrecision(n, average="macro", validate_args=False),
    "recall": lambda n: MulticlassRecall(n, average="macro", validate_args=False),
    "f1": lambda n: MulticlassF1Score(n, average="macro", validate_args=False),
    # In bins: exact areas keep every score in memory.
    "auroc": lambda n: MulticlassAUROC(n, average="macro", thresholds=200, validate_args=False),
    "perplexity": lambda n: Perplexity(),
}
_OF_NUMBERS: dict[str, Callable[[], Metric]] = {
    "mae": MeanAbsoluteError,
    "mse": MeanSquaredError,
    "rmse": lambda: MeanSquaredError(squared=False),
    "r2": R2Score,
}


class WeightedMean(Metric):
    """The mean over rows of what is a mean over the rows of each batch. What is no number stays in it.

    torchmetrics' own takes all batches for equal where it is told to let NaN pass.
    """

    total: torch.Tensor
    rows: torch.Tensor

    def __init__(self) -> None:
        super().__init__()
        self.add_state("total", torch.zeros((), dtype=torch.float64), dist_reduce_fx="sum")
        self.add_state("rows", torch.zeros((), dtype=torch.float64), dist_reduce_fx="sum")

    def update(self, mean: torch.Tensor, rows: int) -> None:
        """The mean of so many rows."""
        self.total += mean.double() * rows
        self.rows += rows

    def compute(self) -> torch.Tensor:
        """Of all rows since the last reset."""
        return self.total / self.rows


class Perplexity(WeightedMean):
    """The exponential of the mean cross entropy, whatever the loss is."""

    def update(self, outputs: torch.Tensor, targets: torch.Tensor) -> None:  # type: ignore[override]
        """Logits ``(n, classes)`` and classes ``(n,)``."""
        super().update(functional.cross_entropy(outputs, targets), len(targets))

    def compute(self) -> torch.Tensor:
        """Of all rows since the last reset."""
        return torch.exp(super().compute())


def make_metrics(names: Sequence[str] | None, classes: int | None, count: int) -> dict[str, Metric]:
    """Metrics by name, in that order.

    :param names: ``None`` takes the accuracy, or mean absolute error and R2.
    :param classes: of a classifier; ``None`` for regression.
    :param count: rows; a single one has no variance to explain, so that it has no R2.
    :raises InvalidInput: one is not for such targets.
    """
    known = _OF_CLASSES if classes is not None else _OF_NUMBERS
    wanted = names or (("accuracy",) if classes is not None else ("mae", "r2"))
    for name in wanted:
        if name not in known:
            what = "classes" if classes is not None else "numbers"
            raise InvalidInput("metrics", f"{name!r} is none of {what}; there are {', '.join(known)}")
    if classes is not None:
        return {name: _OF_CLASSES[name](classes) for name in wanted}
    return {name: _OF_NUMBERS[name]() for name in wanted if name != "r2" or count > 1}
