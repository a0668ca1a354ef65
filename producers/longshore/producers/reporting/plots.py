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


def save_plot(metric_panels: Sequence[Panel], path: str | Path, title: str) -> Path:
    """Plot panels, one below the other, into a file. Its suffix determines the format.

    :returns: the path of the file.
    :raises InvalidInput: there are no metrics, the suffix is unknown, matplotlib is not installed, or the file cannot
        be written.
    """
    target = Path(path).expanduser()
    if target.suffix.lower() not in SUFFIXES:
        raise InvalidInput("output", f"{target}: the suffix of a plot must be one of {', '.join(SUFFIXES)}")
    figure = _figure(metric_panels, title)
    with atomic_write(target) as temporary:
        figure.savefig(temporary, format=target.suffix.lower().removeprefix("."), dpi=150)
    return target


def svg(metric_panels: Sequence[Panel]) -> str:
    """The plot as an ``<svg>`` element, to be embedded in an HTML page."""
    file = io.StringIO()
    _figure(metric_panels, None).savefig(file, format="svg", metadata={"Date": None, "Creator": None})
    text = file.getvalue()
    return text[text.index("<svg") :]


def _figure(metric_panels: Sequence[Panel], title: str | None) -> Figure:
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
        _plot_panel(panel, subplot)
    if title is not None:
        figure.suptitle(title)
    return figure


def _plot_panel(panel: Panel, axes: Axes) -> None:
    from matplotlib.ticker import MaxNLocator

    for curve in panel.curves:
        axes.plot(
            curve.steps, curve.values, marker="o" if len(curve.steps) <= _MAX_MARKERS else "", ms=3, label=curve.name
        )
    axes.set_xlabel(panel.axis)
    axes.set_ylabel(panel.title)
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    axes.grid(alpha=0.3)
    axes.legend()
