"""What a training job has reported, as curves."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from longshore.shared.ledger.records import MetricRecord

#: Metrics that a step has, and not an epoch, begin with it.
STEP_PREFIX = "step/"
#: What a metric was measured on; the rest of its name says what was measured.
PARTS = ("train", "val", "test")


@dataclass(frozen=True)
class Curve:
    """One metric over a training. There are as many steps as values, one or more."""

    #: As in ``job.metrics()``: ``val_loss``.
    name: str
    #: Epochs, or steps of the optimizer; ascending.
    steps: tuple[int, ...]
    values: tuple[float, ...]


@dataclass(frozen=True)
class Panel:
    """Curves that belong into one drawing: the same quantity, over the same axis."""

    #: ``loss``.
    title: str
    #: ``epoch`` or ``step``.
    axis: str
    curves: tuple[Curve, ...]


def panels(metrics: Iterable[MetricRecord]) -> list[Panel]:
    """The drawings of a job: by epoch first, the loss before all others.

    ``train_loss`` and ``val_loss`` share one.
    """
    points: dict[str, list[tuple[int, float]]] = {}
    for metric in metrics:
        points.setdefault(metric.name, []).append((metric.step, metric.value))
    found: dict[tuple[str, str], list[Curve]] = {}
    for name in sorted(points, key=_order):
        steps, values = zip(*sorted(points[name]), strict=True)
        found.setdefault((_axis(name), _quantity(name)), []).append(Curve(name, steps, values))
    order = sorted(found, key=lambda key: (key[0] != "epoch", key[1] != "loss", key[1]))
    return [Panel(title, axis, tuple(found[axis, title])) for axis, title in order]


def latest(metrics: Iterable[MetricRecord]) -> dict[str, float]:
    """The newest value of each metric, in the order of :func:`panels`."""
    return {curve.name: curve.values[-1] for panel in panels(metrics) for curve in panel.curves}


def _axis(name: str) -> str:
    return "step" if name.startswith(STEP_PREFIX) else "epoch"


def _quantity(name: str) -> str:
    name = name.removeprefix(STEP_PREFIX)
    part, _, rest = name.partition("_")
    return rest if part in PARTS and rest else name


def _order(name: str) -> tuple[int, str]:
    part = name.removeprefix(STEP_PREFIX).partition("_")[0]
    return (PARTS.index(part) if part in PARTS else len(PARTS), name)
