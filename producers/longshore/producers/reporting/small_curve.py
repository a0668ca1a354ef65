"""The loss of a training as a small drawing for notebooks, without scripts and without matplotlib."""

from __future__ import annotations

import math
from collections.abc import Sequence
from html import escape

from longshore.producers.reporting.curves import Curve, panels
from longshore.shared.ledger.records import MetricRecord
from longshore.shared.specs.search import lower_is_better

#: Of the drawing, and of the margins around the curves, in pixels.
WIDTH, HEIGHT = 420, 170
LEFT, RIGHT, TOP, BOTTOM = 56, 8, 22, 20
#: The most points of a curve that are drawn.
MAX_POINTS = 400
_COLORS = ("#1f77b4", "#ff7f0e", "#2ca02c")


def small_curve(metrics: Sequence[MetricRecord], monitor: str) -> str:
    """The losses by epoch as an ``<svg>`` element, with a mark at the best epoch; empty before the end of the second
    epoch.

    :param monitor: the metric that says which epoch is the best.
    """
    all_panels = panels(metrics)
    losses = next((panel.curves for panel in all_panels if (panel.title, panel.axis) == ("loss", "epoch")), ())
    curves = [curve for curve in map(_finite, losses) if len(curve.steps) > 1]
    if not curves:
        return ""
    plot = _Plot(curves)
    drawn = [plot.axes()]
    drawn += [plot.curve(curve, _COLORS[number % len(_COLORS)], number) for number, curve in enumerate(curves)]
    known = {curve.name: curve for panel in all_panels for curve in map(_finite, panel.curves) if curve.steps}
    watched = known.get(monitor) or curves[-1]
    choose = min if lower_is_better(watched.name) else max
    best = choose(range(len(watched.steps)), key=lambda index: watched.values[index])
    drawn.append(plot.mark(watched.steps[best], f"best {watched.name}: epoch {watched.steps[best]}"))
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{WIDTH}" height="{HEIGHT}" role="img" '
        f'aria-label="loss by epoch" font-family="sans-serif" font-size="11" fill="currentColor">{"".join(drawn)}</svg>'
    )


def _finite(curve: Curve) -> Curve:
    points = [(step, value) for step, value in zip(curve.steps, curve.values, strict=True) if math.isfinite(value)]
    return Curve(curve.name, tuple(step for step, _ in points), tuple(value for _, value in points))


class _Plot:
    """Where epochs and values are in the drawing."""

    def __init__(self, curves: Sequence[Curve]) -> None:
        self._first = min(curve.steps[0] for curve in curves)
        self._last = max(curve.steps[-1] for curve in curves)
        self._low = min(min(curve.values) for curve in curves)
        self._high = max(max(curve.values) for curve in curves)

    def axes(self) -> str:
        bottom = HEIGHT - BOTTOM
        lines = f"M{LEFT},{TOP}V{bottom}H{WIDTH - RIGHT}"
        labels = (
            (LEFT - 4, TOP + 8, "end", f"{self._high:.4g}"),
            (LEFT - 4, bottom, "end", f"{self._low:.4g}"),
            (LEFT, HEIGHT - 5, "start", f"epoch {self._first}"),
            (WIDTH - RIGHT, HEIGHT - 5, "end", str(self._last)),
        )
        return f'<path d="{lines}" fill="none" stroke="currentColor" stroke-opacity=".4"/>' + "".join(
            f'<text x="{x}" y="{y}" text-anchor="{anchor}">{text}</text>' for x, y, anchor, text in labels
        )

    def curve(self, curve: Curve, color: str, number: int) -> str:
        every = -(-len(curve.steps) // MAX_POINTS)
        last = len(curve.steps) - 1
        chosen = [index for index in range(len(curve.steps)) if index % every == 0 or index == last]
        points = " ".join(f"{self._x(curve.steps[i]):.1f},{self._y(curve.values[i]):.1f}" for i in chosen)
        return (
            f'<polyline points="{points}" fill="none" stroke="{color}" stroke-width="1.5"/>'
            f'<text x="{LEFT + 4 + 90 * number}" y="12" fill="{color}">{escape(curve.name)}</text>'
        )

    def mark(self, epoch: int, text: str) -> str:
        x = self._x(epoch)
        return (
            f'<path d="M{x:.1f},{TOP}V{HEIGHT - BOTTOM}" stroke="currentColor" stroke-dasharray="3 3"/>'
            f'<text x="{WIDTH - RIGHT}" y="12" text-anchor="end">{escape(text)}</text>'
        )

    def _x(self, epoch: int) -> float:
        return LEFT + (WIDTH - LEFT - RIGHT) * (epoch - self._first) / max(self._last - self._first, 1)

    def _y(self, value: float) -> float:
        span = self._high - self._low
        share = (value - self._low) / span if span else 0.5
        return HEIGHT - BOTTOM - (HEIGHT - TOP - BOTTOM) * share
