"""The metrics of a training job: a table by epoch, and on a terminal also plots of characters."""

from __future__ import annotations

import itertools
import sys
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

from longshore.producers.cli.output import print_table
from longshore.producers.reporting.curves import Curve, Panel, panels
from longshore.shared.ledger.records import MetricRecord

if TYPE_CHECKING:
    from rich.text import Text

#: The size of a plot in characters, without its axes. On a narrow terminal it is narrower.
WIDTH, HEIGHT = 64, 8
#: Epochs in the table on a terminal: the plots have all.
MAX_EPOCHS = 16
#: Characters for the labels of the axis.
MARGIN = 12
#: Braille characters have 2 by 4 dots each: https://www.unicode.org/charts/PDF/U2800.pdf.
_BLANK = 0x2800
#: The bit of a dot, by row and column.
_DOT_BITS = ((0x01, 0x08), (0x02, 0x10), (0x04, 0x20), (0x40, 0x80))
_COLORS = ("cyan", "magenta", "yellow", "green")


def print_curves(metrics: Sequence[MetricRecord]) -> None:
    """Print the metrics after an empty line; nothing if there are none.

    On a terminal, where there are plots of all epochs, the table has some of them.
    """
    metric_panels = panels(metrics)
    curves = [curve for panel in metric_panels if panel.axis == "epoch" for curve in panel.curves]
    if curves:
        by_epoch = [dict(zip(curve.steps, curve.values, strict=True)) for curve in curves]
        epochs = _some(sorted({epoch for values in by_epoch for epoch in values}))
        rows = [(epoch, *(f"{at[epoch]:.4g}" if epoch in at else "" for at in by_epoch)) for epoch in epochs]
        sys.stdout.write("\n")
        print_table(("EPOCH", *(curve.name for curve in curves)), rows)
    if sys.stdout.isatty() and metric_panels:
        from rich.console import Console

        console = Console()
        for panel in metric_panels:
            console.print("", *plot_lines(panel, min(WIDTH, console.width - MARGIN)), sep="\n", soft_wrap=True)


def plot_lines(panel: Panel, width: int = WIDTH) -> list[Text]:
    """A panel as lines of text: title, plot and axis, for which there are ``width`` characters.

    If each curve has a single point, there is nothing to plot: the result is only the title with the values.
    """
    from rich.text import Text

    title = [(f"{curve.name} {curve.values[-1]:.4g}  ", color) for curve, color in _colored(panel)]
    heading = Text.assemble(*title)
    heading.rstrip()
    if max(len(curve.steps) for curve in panel.curves) < 2:
        return [heading]
    low, high = _range([value for curve in panel.curves for value in curve.values])
    first = min(curve.steps[0] for curve in panel.curves)
    last = max(curve.steps[-1] for curve in panel.curves)
    canvas = _Canvas(width)
    for curve, color in _colored(panel):
        for x, y in _dots(curve, (first, last), (low, high), width):
            canvas.set(x, y, color)
    labels = [f"{high:.4g}", *[""] * (HEIGHT - 2), f"{low:.4g}"]
    margin = max(map(len, labels))
    plot = [Text.assemble(f"{label:>{margin}} │", *canvas.line(row)) for row, label in enumerate(labels)]
    ends = f"{panel.axis} {first}"
    for line in plot:
        line.rstrip()
    return [heading, *plot, Text(f"{'':>{margin}} └{ends}{last:>{width - len(ends)}}")]


def _some(epochs: Sequence[int]) -> Sequence[int]:
    """On a terminal at most :data:`MAX_EPOCHS` of the epochs, the first and the last among them; otherwise all."""
    if len(epochs) <= MAX_EPOCHS or not sys.stdout.isatty():
        return epochs
    return [epochs[round(index * (len(epochs) - 1) / (MAX_EPOCHS - 1))] for index in range(MAX_EPOCHS)]


def _colored(panel: Panel) -> Iterator[tuple[Curve, str]]:
    return zip(panel.curves, itertools.cycle(_COLORS), strict=False)


def _range(values: list[float]) -> tuple[float, float]:
    low, high = min(values), max(values)
    # A flat curve is in the middle.
    margin = 0.0 if low < high else abs(low) / 2 or 1.0
    return low - margin, high + margin


def _dots(curve: Curve, steps: tuple[int, int], values: tuple[float, float], width: int) -> Iterator[tuple[int, int]]:
    """The dots of a curve, column by column, joined by straight lines. (0, 0) is at the top left."""
    points = [
        (
            round((step - steps[0]) / max(steps[1] - steps[0], 1) * (2 * width - 1)),
            round((values[1] - value) / (values[1] - values[0]) * (4 * HEIGHT - 1)),
        )
        for step, value in zip(curve.steps, curve.values, strict=True)
    ]
    yield points[0]
    for (x0, y0), (x1, y1) in itertools.pairwise(points):
        length = max(x1 - x0, abs(y1 - y0), 1)
        for dot in range(1, length + 1):
            yield round(x0 + (x1 - x0) * dot / length), round(y0 + (y1 - y0) * dot / length)


class _Canvas:
    """A grid of dots. Each character has the colour of the last curve that crossed it."""

    def __init__(self, width: int) -> None:
        self._width = width
        self._cells: dict[tuple[int, int], tuple[int, str]] = {}

    def set(self, x: int, y: int, color: str) -> None:
        cell = (y // 4, x // 2)
        bits = self._cells.get(cell, (0, ""))[0]
        self._cells[cell] = (bits | _DOT_BITS[y % 4][x % 2], color)

    def line(self, row: int) -> list[tuple[str, str]]:
        """One line of characters, as runs of the same colour."""
        cells = [self._cells.get((row, column), (0, "")) for column in range(self._width)]
        return [
            ("".join(chr(_BLANK + bits) if bits else " " for bits, _ in run), color)
            for color, run in itertools.groupby(cells, key=lambda cell: cell[1])
        ]
