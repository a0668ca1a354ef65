"""Conditions of promotions, checked before anything is queued."""

from __future__ import annotations

import difflib

from longshore.shared.conditions.language import metrics, parse
from longshore.shared.conditions.names import METRICS, PARTS, base_of
from longshore.shared.errors import InvalidInput
from longshore.shared.training import TrainSpec

_OF_CLASSES = frozenset({"accuracy", "precision", "recall", "f1", "auroc", "balanced_accuracy", "top5_accuracy"})
_OF_VALUES = frozenset({"mae", "mse", "rmse", "r2"})


def check_gate(spec: TrainSpec) -> None:
    """Whether the condition of a training's alias can be read, and names metrics that the training can give.

    :raises InvalidInput: it does not; points at the place, or names the metric.
    """
    if spec.promote_if is None:
        return
    if spec.alias is None:
        raise InvalidInput("promote_if", "no alias is given that could be promoted; give alias, or leave this out")
    for metric in metrics(parse(spec.promote_if, "promote_if")):
        if metric.alias is None:
            _check_metric(metric.name, spec)


def _check_metric(name: str, spec: TrainSpec) -> None:
    base = base_of(name)
    if base not in METRICS:
        near = difflib.get_close_matches(base, sorted(METRICS), n=1)
        meant = (
            f"did you mean {name.removesuffix(base)}{near[0]}?" if near else f"there are {', '.join(sorted(METRICS))}"
        )
        raise InvalidInput("promote_if", f"{name!r} is no metric of a training; {meant}")
    if not name.startswith(PARTS):
        raise InvalidInput(
            "promote_if",
            f"{name!r} is of an evaluation; a training gives val_{name}, or with test rows test_{name}",
        )
    for part, given in (("val_", spec.validation), ("test_", spec.test)):
        if name.startswith(part) and spec.split is None and given == 0.0:
            option = "validation" if part == "val_" else "test"
            raise InvalidInput("promote_if", f"{name!r} needs rows that are held out for it; give {option}")
    if name.startswith("train_") and base != "loss" and not spec.train_metrics:
        raise InvalidInput("promote_if", f"{name!r} is measured where train_metrics=True is given; give that, too")
    wrong = {"regression": _OF_CLASSES, "classification": _OF_VALUES}.get(spec.task, frozenset())
    if base in wrong:
        raise InvalidInput("promote_if", f"{name!r} is not measured in a {spec.task}")
