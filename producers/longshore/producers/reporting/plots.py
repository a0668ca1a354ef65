"""Curves as image files, plotted with matplotlib (extra ``plot``)."""

from __future__ import annotations

import io
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from longshore.producers.reporting.atomic_write import atomic_write
from longshore.producers.reporting.curves import Panel
from longshore.shared.errors import InvalidInput

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

#: File formats, by suffix.
SUFFIXES = (".png", ".svg", ".pdf")
#: Size of a panel in inches.
_PANEL_WIDTH_IN, _PANEL_HEIGHT_IN = 7.0, 3.2
#: Curves with at most this many points have markers.
_MAX_MARKERS = 50


def save_plot(metric_panels: Sequence[Panel], path: str | Path, title: str, best_epoch: int | None = None) -> Path:
    """Plot panels, one below the other, into a file. Its suffix determines the format.

    :param best_epoch: is marked in the curves by epoch; ``None`` marks none.
    :returns: the path of the file.
    :raises InvalidInput: there are no metrics, the suffix is unknown, matplotlib is not installed, or the file cannot
        be written.
    """
    target = Path(path).expanduser()
    if target.suffix.lower() not in SUFFIXES:
        raise InvalidInput("output", f"{target}: the suffix of a plot must be one of {', '.join(SUFFIXES)}")
    figure = _figure(metric_panels, title, best_epoch)
    with atomic_write(target) as temporary:
        figure.savefig(temporary, format=target.suffix.lower().removeprefix("."), dpi=150)
    return target


def svg(metric_panels: Sequence[Panel], best_epoch: int | None = None) -> str:
    """The plot as an ``<svg>`` element, to be embedded in an HTML page.

    :param best_epoch: as for :func:`save_plot`.
    """
    file = io.StringIO()
    _figure(metric_panels, None, best_epoch).savefig(file, format="svg", metadata={"Date": None, "Creator": None})
    text = file.getvalue()
    return text[text.index("<svg") :]


def _figure(metric_panels: Sequence[Panel], title: str | None, best_epoch: int | None) -> Figure:
    if not metric_panels:
        raise InvalidInput("job", "there are no metrics to plot yet")
    try:
        from matplotlib.figure import Figure
    except ImportError:
        raise InvalidInput("matplotlib", "not installed; run: pip install 'longshore[plot]'") from None

    # Not through pyplot: no window is shown, and no global state is left behind.
    figure = Figure(figsize=(_PANEL_WIDTH_IN, _PANEL_HEIGHT_IN * len(metric_panels)), layout="constrained")
    axes = figure.subplots(len(metric_panels), 1, squeeze=False)
    for panel, subplot in zip(metric_panels, axes[:, 0], strict=True):
        _plot_panel(panel, subplot, best_epoch if panel.axis == "epoch" else None)
    if title is not None:
        figure.suptitle(title)
    return figure


def _plot_panel(panel: Panel, axes: Axes, best_epoch: int | None) -> None:
    for curve in panel.curves:
        axes.plot(
            curve.steps, curve.values, marker="o" if len(curve.steps) <= _MAX_MARKERS else "", ms=3, label=curve.name
        )
    first, last = min(curve.steps[0] for curve in panel.curves), max(curve.steps[-1] for curve in panel.curves)
    if best_epoch is not None and first <= best_epoch <= last:
        axes.axvline(best_epoch, color="0.4", linestyle=":", linewidth=1.2, label=f"best epoch {best_epoch}")
    if first < last:
        axes.set_xlim(first, last)
    axes.set_xticks(_ticks(first, last))
    axes.set_xlabel(panel.axis)
    axes.set_ylabel(panel.title)
    axes.grid(alpha=0.3)
    axes.legend()


def _ticks(first: int, last: int) -> list[int]:
    """Steps to be labelled: the first, and round ones that are not too close to it."""
    from matplotlib.ticker import MaxNLocator

    ticks = [int(tick) for tick in MaxNLocator(integer=True).tick_values(first, last) if first <= tick <= last]
    width = ticks[1] - ticks[0] if len(ticks) > 1 else 1
    return [first, *(tick for tick in ticks if tick - first >= width / 2 and tick != first)]
