"""The progress bar of a job."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING

from longshore.producers.reporting.best_epoch import best_epoch
from longshore.producers.reporting.curves import latest
from longshore.producers.reporting.live_line import LiveLine, live_line
from longshore.producers.reporting.progress import RateWindow, progress_of
from longshore.shared.ledger.records import JobRecord, MetricRecord
from longshore.shared.vocabulary import JobKind

if TYPE_CHECKING:
    from rich.console import Console, ConsoleOptions, RenderResult


@contextmanager
def progress_display(
    enabled: bool | None, metrics: Callable[[], Sequence[MetricRecord]]
) -> Iterator[Callable[[JobRecord], None]]:
    """Show a progress bar on standard error. Yields a function to be called whenever the job's record changes.

    :param enabled: whether to show the bar; ``None`` shows it if standard error is a terminal.
    :param metrics: reads the metrics of the job. The bar of a training job shows their latest values.
    """
    if not (sys.stderr.isatty() if enabled is None else enabled):
        yield lambda record: None
        return
    from rich.console import Console
    from rich.live import Live

    with Live(console=Console(stderr=True), auto_refresh=False) as display:
        window = RateWindow()

        def show(record: JobRecord) -> None:
            measured = metrics() if record.kind == JobKind.TRAIN else []
            best = best_epoch(record, measured)
            line = live_line(record, window.update(progress_of(record)), latest(measured), best)
            display.update(_Rendered(line), refresh=True)

        yield show


class _Rendered:
    """The line, for rich: it is cut to the width that the terminal has when it is drawn."""

    def __init__(self, line: LiveLine) -> None:
        self._line = line

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        from rich.text import Text

        spans = self._line.spans(options.max_width, ascii_only=options.ascii_only)
        yield Text.assemble(*((span.text, span.style) for span in spans), no_wrap=True, overflow="crop")
