"""The metrics of held-out rows: sums that are updated batch by batch on the device, and the metrics of their totals.

No metric depends on how the rows are divided into batches, or among ranks.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import Protocol

import torch

from longshore.shared.errors import InvalidInput
from longshore.shared.specs.signature import Task
from longshore.workers.train.objective.class_sums import CLASS_METRICS, ClassSums
from longshore.workers.train.objective.label_sums import LABEL_METRICS, LabelSums
from longshore.workers.train.objective.number_sums import NUMBER_METRICS, NumberSums
from longshore.workers.train.objective.rank_totals import RankTotals


class MetricSums(Protocol):
    """What metrics need of the rows."""

    def add(self, outputs: torch.Tensor, targets: torch.Tensor) -> None:
        """Add rows, as for :data:`~longshore.workers.train.objective.losses.Loss`. Does not wait for the device."""

    def metrics(self, totals: RankTotals) -> dict[str, float]:
        """The metrics by name. A metric that is not defined for these rows is NaN."""


def make_metrics(
    names: Sequence[str] | None, classes: int | None, device: torch.device, task: Task | None = None
) -> MetricSums:
    """Create empty sums for metrics, in the order of their names.

    :param names: default: accuracy for classes, accuracy and F1 for multilabel, mean absolute error and R2 for numbers.
    :param classes: the number of classes, or of labels for multilabel; ``None`` for regression.
    :param task: default: classification if there are classes, else regression.
    :raises InvalidInput: a metric is not defined for these targets.
    """
    if classes is None:
        return NumberSums(_known(names or ("mae", "r2"), NUMBER_METRICS, "numbers"), device)
    if task == "multilabel":
        return LabelSums(_known(names or ("accuracy", "f1"), LABEL_METRICS, "several labels a row"), classes, device)
    return ClassSums(_known(names or ("accuracy",), CLASS_METRICS, "classes"), classes, device)


def _known(names: Sequence[str], known: Collection[str], what: str) -> Sequence[str]:
    for name in names:
        if name not in known:
            raise InvalidInput("metrics", f"{name!r} is not a metric for {what}; use {', '.join(known)}")
    return names
