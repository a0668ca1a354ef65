"""Conditions of promotions, checked before anything is queued."""

from __future__ import annotations

from longshore.shared.conditions.language import Metric, metrics, parse
from longshore.shared.conditions.names import SPLIT_PREFIXES, base_of, check_metric
from longshore.shared.errors import InvalidInput
from longshore.shared.specs.train import TrainSpec
from longshore.shared.specs.train.metrics import default_metrics

#: Metrics that only some tasks have.
_OF_CLASSES = frozenset({"perplexity"})
_OF_SETS = frozenset({"subset_accuracy", "micro_f1"})
_OF_BOTH = frozenset({"accuracy", "precision", "recall", "f1", "auroc"})
_OF_VALUES = frozenset({"mae", "mse", "rmse", "r2"})
_OF_VECTORS = frozenset({"recall_at_1"})
#: Metrics that are not measured, by task.
_NOT_OF = {
    "classification": _OF_VALUES | _OF_SETS | _OF_VECTORS,
    "regression": _OF_CLASSES | _OF_BOTH | _OF_SETS | _OF_VECTORS,
    "multilabel": _OF_VALUES | _OF_CLASSES | _OF_VECTORS,
    "embedding": _OF_VALUES | _OF_CLASSES | _OF_BOTH | _OF_SETS,
}
_NAMED = {
    "classification": "a classification",
    "regression": "a regression",
    "multilabel": "a multilabel training",
    "embedding": "an embedding",
}


def check_gate(spec: TrainSpec) -> None:
    """Check that ``promote_if`` is valid and uses only metrics that the training measures.

    :raises InvalidInput: it is not; shows the position of the error, or names the metric.
    """
    if spec.promote_if is None:
        return
    if spec.alias is None:
        raise InvalidInput("promote_if", "no alias is given that could be promoted; give alias, or leave this out")
    for metric in check_condition(spec.promote_if, "promote_if"):
        if metric.alias is None:
            _check_metric(metric.name, spec)


def check_condition(condition: str, field: str) -> list[Metric]:
    """Check that a condition is valid, and that all of its metrics can be measured.

    :param field: the argument to name in an error.
    :returns: its metrics.
    :raises InvalidInput: it is not; shows the position of the error, or names the metric and those that there are.
    """
    found = list(metrics(parse(condition, field)))
    for metric in found:
        check_metric(metric.name, field)
    return found


def _check_metric(name: str, spec: TrainSpec) -> None:
    base = base_of(name)
    if not name.startswith(SPLIT_PREFIXES):
        raise InvalidInput(
            "promote_if",
            f"{name!r} is of an evaluation; a training gives val_{name}, or with test rows test_{name}",
        )
    for prefix, fraction in (("val_", spec.validation), ("test_", spec.test)):
        if name.startswith(prefix) and spec.split is None and fraction == 0.0:
            option = "validation" if prefix == "val_" else "test"
            raise InvalidInput("promote_if", f"{name!r} needs rows that are held out for it; give {option}")
    if name.startswith("train_") and base != "loss" and not spec.train_metrics:
        raise InvalidInput("promote_if", f"{name!r} is measured where train_metrics=True is given; give that, too")
    if base in _NOT_OF.get(spec.task, frozenset()):
        raise InvalidInput("promote_if", f"{name!r} is not measured in {_NAMED[spec.task]}")
    _check_measured(name, base, spec)


def _check_measured(name: str, base: str, spec: TrainSpec) -> None:
    """A condition on a metric that the training does not measure would never hold."""
    measured = {"loss", *(spec.metrics or default_metrics(spec.task))}
    if base not in measured:
        names = " ".join(sorted({*(spec.metrics or ()), base}))
        raise InvalidInput("promote_if", f"{name!r} is not measured; add it to the metrics: {names}")
