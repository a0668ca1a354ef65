"""The live line in a notebook: an output of the cell that is replaced while somebody waits."""

from __future__ import annotations

import sys
from html import escape
from typing import TYPE_CHECKING

from longshore.producers.reporting.live_line import LiveLine

if TYPE_CHECKING:
    from IPython.display import DisplayHandle

#: Characters of the line as plain text, for what shows no HTML.
TEXT_WIDTH = 100


def in_notebook() -> bool:
    """Whether this process is a kernel, whose outputs a notebook shows. IPython on a terminal is none."""
    ipython = sys.modules.get("IPython")
    shell = None if ipython is None else ipython.get_ipython()
    return shell is not None and hasattr(shell, "kernel")


class NotebookLine:
    """One output of a cell, for one wait."""

    def __init__(self) -> None:
        self._handle: DisplayHandle | None = None

    def draw(self, line: LiveLine) -> None:
        """Show a line in the place of the one before."""
        from IPython.display import display

        data = {"text/plain": line_text(line), "text/html": line_html(line)}
        if self._handle is None:
            self._handle = display(data, raw=True, display_id=True)  # type: ignore[no-untyped-call]
        else:
            self._handle.update(data, raw=True)  # type: ignore[no-untyped-call]


def line_text(line: LiveLine) -> str:
    """The line without colours."""
    return "".join(span.text for span in line.spans(TEXT_WIDTH))


def line_html(line: LiveLine) -> str:
    """The line with a bar of HTML. All text is escaped."""
    facts = (line.count, line.state, line.remaining, line.rate, *line.metrics)
    return (
        f'<div style="font-family:monospace;white-space:pre-wrap">{escape(line.name)}  '
        f'<progress max="1" value="{line.fraction:.4f}"></progress>  '
        f"{'  '.join(escape(fact) for fact in facts if fact)}</div>"
    )
