"""The progress bar of one job, or of several: on a terminal or in a notebook."""

from __future__ import annotations

import sys
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING
from uuid import UUID

from longshore.producers.reporting.best_epoch import best_epoch
from longshore.producers.reporting.curves import latest
from longshore.producers.reporting.live_line import LiveLine, live_line
from longshore.producers.reporting.notebook_line import NotebookLine, in_notebook
from longshore.producers.reporting.progress import RateWindow, progress_of
from longshore.shared.ledger.records import JobRecord, MetricRecord
from longshore.shared.vocabulary import JobKind, State

if TYPE_CHECKING:
    from rich.console import Console, ConsoleOptions, RenderResult


@contextmanager
def progress_display(
    enabled: bool | None, metrics: Callable[[], Sequence[MetricRecord]]
) -> Iterator[Callable[[JobRecord], None]]:
    """Show the progress of a job. Yields a function to be called whenever the job's record changes.

    :param enabled: whether to show it; ``None`` shows it in a notebook, and if standard error is a terminal.
    :param metrics: reads the metrics of the job. The bar of a training job shows their latest values.
    """
    with line_display(enabled, on_terminal=sys.stderr.isatty()) as draw:
        if draw is None:
            yield lambda record: None
            return
        window = RateWindow()

        def show(record: JobRecord) -> None:
            measured = metrics() if record.kind == JobKind.TRAIN else []
            best = best_epoch(record, measured)
            draw(live_line(record, window.update(progress_of(record)), latest(measured), best))

        yield show


@contextmanager
def count_display(
    enabled: bool | None, jobs: int, read: Callable[[], Mapping[UUID, JobRecord]]
) -> Iterator[Callable[[], None] | None]:
    """Show how many of several jobs have ended. Yields a function to be called when one has; ``None`` if nothing is
    shown.

    :param enabled: whether to show it; ``None`` shows it in a notebook only.
    :param read: the records of the jobs. They are read once, when all jobs have ended.
    """
    with line_display(enabled, on_terminal=False) as draw:
        if draw is None:
            yield None
            return
        ended = 0
        counted = "1 job" if jobs == 1 else f"{jobs:,} jobs"

        def line(state: State, states: Mapping[State, int]) -> LiveLine:
            return LiveLine(
                name=f"wait for {counted}",
                state=state,
                fraction=ended / jobs if jobs else 1.0,
                count=f"{ended:,}/{counted}",
                remaining="",
                rate="",
                metrics=tuple(f"{count:,} {each}" for each, count in states.items()),
            )

        def one_more() -> None:
            nonlocal ended
            ended += 1
            # A line for each percent: a notebook stops showing outputs that come by the thousand.
            if 100 * ended // jobs > 100 * (ended - 1) // jobs:
                draw(line(State.RUNNING, {}))

        draw(line(State.RUNNING, {}))
        yield one_more
        states = Counter(record.state for record in read().values())
        well = states[State.SUCCEEDED] == jobs
        draw(line(State.SUCCEEDED if well else State.FAILED, {} if well else states))


@contextmanager
def line_display(enabled: bool | None, *, on_terminal: bool) -> Iterator[Callable[[LiveLine], None] | None]:
    """Yields what draws the line in the place of the one before; ``None`` if nothing is shown.

    :param on_terminal: whether to draw it on standard error if ``enabled`` is ``None`` and this is no notebook.
    """
    if enabled is not False and in_notebook():
        yield NotebookLine().draw
        return
    if not (on_terminal if enabled is None else enabled):
        yield None
        return
    from rich.console import Console
    from rich.live import Live

    with Live(console=Console(stderr=True), auto_refresh=False) as display:
        yield lambda line: display.update(_Rendered(line), refresh=True)


class _Rendered:
    """The line, for rich: it is cut to the width that the terminal has when it is drawn."""

    def __init__(self, line: LiveLine) -> None:
        self._line = line

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        from rich.text import Text

        spans = self._line.spans(options.max_width, ascii_only=options.ascii_only)
        yield Text.assemble(*((span.text, span.style) for span in spans), no_wrap=True, overflow="crop")
