"""The metrics of held-out rows, by name, computed by torchmetrics. https://lightning.ai/docs/torchmetrics/stable/"""

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

#: Metrics of n classes. Precision, recall, F1 and AUROC are means over the classes.
_CLASS_METRICS: dict[str, Callable[[int], Metric]] = {
    "accuracy": lambda n: MulticlassAccuracy(n, average="micro", validate_args=False),
    "precision": lambda n: MulticlassPrecision(n, average="macro", validate_args=False),
    "recall": lambda n: MulticlassRecall(n, average="macro", validate_args=False),
    "f1": lambda n: MulticlassF1Score(n, average="macro", validate_args=False),
    # Binned: an exact area needs every score in memory.
    "auroc": lambda n: MulticlassAUROC(n, average="macro", thresholds=200, validate_args=False),
    "perplexity": lambda n: Perplexity(),
}
_REGRESSION_METRICS: dict[str, Callable[[], Metric]] = {
    "mae": MeanAbsoluteError,
    "mse": MeanSquaredError,
    "rmse": lambda: MeanSquaredError(squared=False),
    "r2": R2Score,
}
#: Metrics of n labels for multilabel; they take probabilities. ``accuracy`` and ``micro_f1`` count all pairs of a row
#: and a label, ``subset_accuracy`` counts rows whose labels are all correct, and the others are means over the labels.
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
    """The mean over the labels that some rows have and others lack. Other labels have no area.

    The mean of torchmetrics counts them as 0.
    """

    def compute(self) -> torch.Tensor:  # type: ignore[override]
        """The mean area of all rows since the last reset; NaN if there is no such label."""
        areas = torch.as_tensor(super().compute())
        # Indexed by threshold, label, truth and prediction. The first threshold has all positive and negative rows.
        assert isinstance(self.confmat, torch.Tensor)
        both = (self.confmat[0].sum(dim=2) > 0).all(dim=1)
        return areas[both].mean()


class WeightedMean(Metric):
    """The mean over all rows, from the means of the batches. NaN propagates.

    The mean metric of torchmetrics weights all batches equally if it is set to propagate NaN.
    """

    total: torch.Tensor
    rows: torch.Tensor

    def __init__(self) -> None:
        super().__init__()
        self.add_state("total", torch.zeros((), dtype=torch.float64), dist_reduce_fx="sum")
        self.add_state("rows", torch.zeros((), dtype=torch.float64), dist_reduce_fx="sum")

    def update(self, mean: torch.Tensor, rows: int) -> None:
        """Add the mean of a batch of ``rows`` rows."""
        self.total += mean.double() * rows
        self.rows += rows

    def compute(self) -> torch.Tensor:
        """The mean of all rows since the last reset."""
        return self.total / self.rows


class Perplexity(WeightedMean):
    """The exponential of the mean cross entropy, for any training loss."""

    def update(self, outputs: torch.Tensor, targets: torch.Tensor) -> None:  # type: ignore[override]
        """Add logits ``(n, classes)`` and class indexes ``(n,)``."""
        super().update(functional.cross_entropy(outputs, targets), len(targets))

    def compute(self) -> torch.Tensor:
        """The perplexity of all rows since the last reset."""
        return torch.exp(super().compute())


def make_metrics(
    names: Sequence[str] | None, classes: int | None, count: int, task: Task | None = None
) -> dict[str, Metric]:
    """Create metrics by name, in the order of the names. Multilabel metrics take probabilities and 0 or 1 per label.

    :param names: default: accuracy for classes, accuracy and F1 for multilabel, mean absolute error and R2 for numbers.
    :param classes: the number of classes, or of labels for multilabel; ``None`` for regression.
    :param count: the number of rows. R2 is left out for a single row, which has no variance.
    :param task: default: classification if there are classes, else regression.
    :raises InvalidInput: a metric is not defined for these targets.
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
            raise InvalidInput("metrics", f"{name!r} is not a metric for {what}; use {', '.join(known)}")
    return names
