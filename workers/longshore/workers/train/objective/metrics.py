"""Metrics of held-out rows by name, computed by torchmetrics. https://lightning.ai/docs/torchmetrics/stable/"""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence

import torch
from torch.nn import functional
from torchmetrics import Metric
from torchmetrics.classification import (
    MulticlassAccuracy,
    MulticlassAUROC,
    MulticlassF1Score,
    MulticlassPrecision,
    MulticlassRecall,
    MultilabelAccuracy,
    MultilabelAUROC,
    MultilabelExactMatch,
    MultilabelF1Score,
    MultilabelPrecision,
    MultilabelRecall,
)
from torchmetrics.regression import MeanAbsoluteError, MeanSquaredError, R2Score

from longshore.shared.errors import InvalidInput
from longshore.shared.specs.signature import Task

#: Metrics of n classes. All but the accuracy are means over the classes.
_CLASS_METRICS: dict[str, Callable[[int], Metric]] = {
    "accuracy": lambda n: MulticlassAccuracy(n, average="micro", validate_args=False),
    "precision": lambda n: MulticlassPrecision(n, average="macro", validate_args=False),
    "recall": lambda n: MulticlassRecall(n, average="macro", validate_args=False),
    "f1": lambda n: MulticlassF1Score(n, average="macro", validate_args=False),
    # In bins: exact areas keep every score in memory.
    "auroc": lambda n: MulticlassAUROC(n, average="macro", thresholds=200, validate_args=False),
    "perplexity": lambda n: Perplexity(),
}
_REGRESSION_METRICS: dict[str, Callable[[], Metric]] = {
    "mae": MeanAbsoluteError,
    "mse": MeanSquaredError,
    "rmse": lambda: MeanSquaredError(squared=False),
    "r2": R2Score,
}
#: Of n labels, any number of which hold for a row; from probabilities. Means over the labels, but for the first two
#: (of all pairs of a row and a label, and of rows that are right as a whole) and ``micro_f1`` (of all pairs).
_MULTILABEL_METRICS: dict[str, Callable[[int], Metric]] = {
    "accuracy": lambda n: MultilabelAccuracy(n, average="micro", validate_args=False),
    "subset_accuracy": lambda n: MultilabelExactMatch(n, validate_args=False),
    "precision": lambda n: MultilabelPrecision(n, average="macro", validate_args=False),
    "recall": lambda n: MultilabelRecall(n, average="macro", validate_args=False),
    "f1": lambda n: MultilabelF1Score(n, average="macro", validate_args=False),
    "micro_f1": lambda n: MultilabelF1Score(n, average="micro", validate_args=False),
    "auroc": lambda n: LabelAUROC(n, average="none", thresholds=200, validate_args=False),
}


class LabelAUROC(MultilabelAUROC):
    """The mean over the labels that some rows have and others have not; of no other is there an area.

    torchmetrics' own mean takes 0 for these.
    """

    def compute(self) -> torch.Tensor:  # type: ignore[override]
        """Of all rows since the last reset. NaN where there is no such label."""
        areas = torch.as_tensor(super().compute())
        # By threshold, label, truth and prediction; the first has all rows of both.
        assert isinstance(self.confmat, torch.Tensor)
        both = (self.confmat[0].sum(dim=2) > 0).all(dim=1)
        return areas[both].mean()


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


def make_metrics(
    names: Sequence[str] | None, classes: int | None, count: int, task: Task | None = None
) -> dict[str, Metric]:
    """Metrics by name, in that order. Those of multilabel take probabilities, and whether each label holds.

    :param names: ``None`` takes the accuracy, or mean absolute error and R2; of multilabel also F1.
    :param classes: of a classifier, or the labels of multilabel; ``None`` for regression.
    :param count: rows; a single one has no variance to explain, so that it has no R2.
    :param task: ``None``: classification where there are classes, else regression.
    :raises InvalidInput: one is not for such targets.
    """
    if classes is None:
        chosen = _known(names or ("mae", "r2"), _REGRESSION_METRICS, "numbers")
        return {name: _REGRESSION_METRICS[name]() for name in chosen if name != "r2" or count > 1}
    if task == "multilabel":
        return {
            name: _MULTILABEL_METRICS[name](classes)
            for name in _known(names or ("accuracy", "f1"), _MULTILABEL_METRICS, "several labels a row")
        }
    return {name: _CLASS_METRICS[name](classes) for name in _known(names or ("accuracy",), _CLASS_METRICS, "classes")}


def _known(names: Sequence[str], known: Collection[str], what: str) -> Sequence[str]:
    for name in names:
        if name not in known:
            raise InvalidInput("metrics", f"{name!r} is none of {what}; there are {', '.join(known)}")
    return names
