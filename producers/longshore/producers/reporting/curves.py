"""The metrics of a training job, grouped into curves and panels."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from longshore.shared.ledger.records import MetricRecord

#: The prefix of metrics that are recorded by step instead of by epoch.
STEP_PREFIX = "step/"
#: The prefixes of metrics that name the split they were measured on.
SPLITS = ("train", "val", "test")


@dataclass(frozen=True)
class Curve:
    """One metric over the course of a training job. ``steps`` and ``values`` have the same length, at least 1."""

    #: The name of the metric as in ``job.metrics()``, such as ``val_loss``.
    name: str
    #: Epochs or optimizer steps, ascending.
    steps: tuple[int, ...]
    values: tuple[float, ...]


@dataclass(frozen=True)
class Panel:
    """Curves that share one plot: the same quantity over the same axis."""

    #: The quantity, such as ``loss``.
    title: str
    #: ``epoch`` or ``step``.
    axis: str
    curves: tuple[Curve, ...]


def panels(metrics: Iterable[MetricRecord]) -> list[Panel]:
    """Group metrics into panels: those by epoch come first, and among them the loss.

    ``train_loss`` and ``val_loss`` share a panel.
    """
    points: dict[str, list[tuple[int, float]]] = {}
    for metric in metrics:
        points.setdefault(metric.name, []).append((metric.step, metric.value))
    curves: dict[tuple[str, str], list[Curve]] = {}
    for name in sorted(points, key=_sort_key):
        steps, values = zip(*sorted(points[name]), strict=True)
        curves.setdefault((_axis(name), _quantity(name)), []).append(Curve(name, steps, values))
    order = sorted(curves, key=lambda key: (key[0] != "epoch", key[1] != "loss", key[1]))
    return [Panel(title, axis, tuple(curves[axis, title])) for axis, title in order]


def latest(metrics: Iterable[MetricRecord]) -> dict[str, float]:
    """The latest value of each metric, in the order of :func:`panels`."""
    return {curve.name: curve.values[-1] for panel in panels(metrics) for curve in panel.curves}


def _axis(name: str) -> str:
    return "step" if name.startswith(STEP_PREFIX) else "epoch"


def _quantity(name: str) -> str:
    name = name.removeprefix(STEP_PREFIX)
    split, _, rest = name.partition("_")
    return rest if split in SPLITS and rest else name


def _sort_key(name: str) -> tuple[int, str]:
    split = name.removeprefix(STEP_PREFIX).partition("_")[0]
    return (SPLITS.index(split) if split in SPLITS else len(SPLITS), name)
