"""What metrics are called."""

from __future__ import annotations

from typing import Final

#: Of an evaluation, and behind one of :data:`PARTS` of a training. Names by torchmetrics and scikit-learn.
METRICS: Final = frozenset(
    {
        *("loss", "log_loss", "accuracy", "precision", "recall", "f1", "auroc", "perplexity"),
        *("mae", "mse", "rmse", "r2", "balanced_accuracy", "top5_accuracy", "average_precision"),
        *("subset_accuracy", "micro_f1", "recall_at_1"),
    }
)
#: Of a training: the rows that a metric was measured on.
PARTS: Final = ("train_", "val_", "test_")


def is_metric(name: str) -> bool:
    """Whether a name is that of a metric: of a training, or of an evaluation."""
    return name in METRICS or name.startswith(PARTS)


def base_of(name: str) -> str:
    """The metric without the rows that it was measured on."""
    part = next((part for part in PARTS if name.startswith(part)), "")
    return name.removeprefix(part)
