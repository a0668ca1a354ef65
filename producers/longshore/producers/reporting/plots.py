"""Curves as pictures, drawn by matplotlib (extra ``plot``)."""

from __future__ import annotations

import io
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from longshore.producers.reporting.atomic_write import replacing
from longshore.producers.reporting.curves import Panel
from longshore.shared.errors import InvalidInput

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

#: File formats, by suffix.
SUFFIXES = (".png", ".svg", ".pdf")
#: Inches of one panel.
_WIDTH, _HEIGHT = 7.0, 3.2
#: Curves with at most so many points show them.
_MARKED = 50


def save_plot(drawn: Sequence[Panel], path: str | Path, title: str) -> Path:
    """Draw panels below each other into a file, whose suffix says the format.

    :returns: the file.
    :raises InvalidInput: nothing has been measured, the format is unknown, matplotlib is not installed, or the file
        cannot be written.
    """
    target = Path(path).expanduser()
    if target.suffix.lower() not in SUFFIXES:
        raise InvalidInput("output", f"{target}: a plot is written as {', '.join(SUFFIXES)}; end the name so")
    figure = _figure(drawn, title)
    with replacing(target) as temporary:
        figure.savefig(temporary, format=target.suffix.lower().removeprefix("."), dpi=150)
    return target


def svg(drawn: Sequence[Panel]) -> str:
    """The same as an ``<svg>`` element to be put into a page."""
    file = io.StringIO()
    _figure(drawn, None).savefig(file, format="svg", metadata={"Date": None, "Creator": None})
    text = file.getvalue()
    return text[text.index("<svg") :]


def _figure(drawn: Sequence[Panel], title: str | None) -> Figure:
    if not drawn:
        raise InvalidInput("job", "it has measured nothing yet, so there is nothing to draw")
    try:
        from matplotlib.figure import Figure
    except ImportError:
        raise InvalidInput("matplotlib", "not installed; run: pip install 'longshore[plot]'") from None

    # A figure of its own, not pyplot's: nothing is shown, and no global state stays.
    figure = Figure(figsize=(_WIDTH, _HEIGHT * len(drawn)), layout="constrained")
    axes = figure.subplots(len(drawn), 1, squeeze=False)
    for panel, place in zip(drawn, axes[:, 0], strict=True):
        _draw(panel, place)
    if title is not None:
        figure.suptitle(title)
    return figure


def _draw(panel: Panel, axes: Axes) -> None:
    from matplotlib.ticker import MaxNLocator

    for curve in panel.curves:
        axes.plot(curve.steps, curve.values, marker="o" if len(curve.steps) <= _MARKED else "", ms=3, label=curve.name)
    axes.set_xlabel(panel.axis)
    axes.set_ylabel(panel.title)
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    axes.grid(alpha=0.3)
    axes.legend()
