"""What a training measures."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, get_args

from longshore.shared.errors import InvalidInput
from longshore.shared.specs.base import Option, Spec
from longshore.shared.vocabulary import (
    ClassificationMetric,
    EmbeddingMetric,
    LanguageMetric,
    Metric,
    MultilabelMetric,
    PreferenceMetric,
    RegressionMetric,
    TrainTask,
)

_METRICS: Mapping[str, tuple[str, tuple[str, ...]]] = {
    "classification": ("classes", get_args(ClassificationMetric)),
    "regression": ("numbers", get_args(RegressionMetric)),
    "multilabel": ("several labels a row", get_args(MultilabelMetric)),
    "embedding": ("embeddings", get_args(EmbeddingMetric)),
    "language_model": ("language models", get_args(LanguageMetric)),
    "preference": ("preferences", get_args(PreferenceMetric)),
}
#: The metrics of any training.
MEASURABLE = ("loss", *dict.fromkeys(name for _, names in _METRICS.values() for name in names))
_DEFAULTS: Mapping[str, tuple[str, ...]] = {
    "classification": ("accuracy",),
    "regression": ("mae", "r2"),
    "multilabel": ("accuracy", "f1"),
    "embedding": ("recall_at_1",),
    "language_model": ("perplexity",),
    "preference": get_args(PreferenceMetric),
}


def default_metrics(task: TrainTask) -> tuple[str, ...]:
    """What a training measures besides the loss if ``metrics`` is not given; under ``auto``, what it may measure."""
    if task in _DEFAULTS:
        return _DEFAULTS[task]
    return tuple(name for task_name in ("classification", "regression", "multilabel") for name in _DEFAULTS[task_name])


class MetricsConfig(Spec):
    """Metrics."""

    metrics: Annotated[tuple[Metric, ...] | None, Option(metavar="NAME", reader="repeated")] = None
    """What is measured on held-out rows besides the loss. Default: accuracy for classes, mae and r2 for numbers,
    accuracy and f1 for several labels a row, recall_at_1 for embeddings, perplexity for language models, all
    that there are for preferences.
    """
    train_metrics: bool = False
    """Measure ``metrics`` on the training rows, too, in one more pass after each epoch."""

    def check_metrics(self, task: TrainTask) -> None:
        """:raises InvalidInput: a metric is not one of the task. Under ``auto`` the worker checks it."""
        described, names = _METRICS.get(task, ("", ()))
        for name in self.metrics or ():
            if names and name not in names:
                raise InvalidInput("metrics", f"{name!r} is not a metric for {described}; use {', '.join(names)}")
