"""The names of metrics."""

from __future__ import annotations

from typing import Final

#: Metrics of an evaluation, and with one of :data:`SPLIT_PREFIXES` of a training. Named as in
#: scikit-learn.
METRICS: Final = frozenset(
    {
        *("loss", "log_loss", "accuracy", "precision", "recall", "f1", "auroc", "perplexity"),
        *("mae", "mse", "rmse", "r2", "balanced_accuracy", "top5_accuracy", "average_precision"),
        *("subset_accuracy", "micro_f1", "recall_at_1"),
    }
)
#: Prefixes of the metrics of a training: the split that a metric was measured on.
SPLIT_PREFIXES: Final = ("train_", "val_", "test_")


def is_metric(name: str) -> bool:
    """Whether a name is a metric of a training or of an evaluation."""
    return name in METRICS or name.startswith(SPLIT_PREFIXES)


def base_of(name: str) -> str:
    """The name of a metric without the prefix of its split."""
    prefix = next((prefix for prefix in SPLIT_PREFIXES if name.startswith(prefix)), "")
    return name.removeprefix(prefix)
