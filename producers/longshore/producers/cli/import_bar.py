"""The progress bar of an import, on a terminal or in a notebook."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

from longshore.producers.models.import_progress import ImportProgress, ImportStep, ShowProgress
from longshore.producers.reporting.human import size_text, time_text
from longshore.producers.reporting.live_line import LiveLine
from longshore.producers.reporting.progress_bar import line_display
from longshore.shared.vocabulary import State

#: Imports of fewer bytes take about a second, and show no bar.
MIN_SHOWN_BYTES: Final = 2**28
#: Seconds between two lines: a block takes about a millisecond.
_INTERVAL_S: Final = 0.1


@contextmanager
def import_bar(name: str, enabled: bool | None = None) -> Iterator[ShowProgress]:
    """Show the progress of an import. Yields the function that gets it.

    :param name: of the model.
    :param enabled: whether to show it; ``None`` shows it in a notebook, and if standard error is a terminal.
    """
    with line_display(enabled, on_terminal=sys.stderr.isatty()) as draw:
        started: dict[ImportStep, float] = {}
        drawn = float("-inf")

        def show(progress: ImportProgress) -> None:
            nonlocal drawn
            now = time.monotonic()
            start = started.setdefault(progress.step, now)
            ended = progress.done >= progress.total
            if draw is None or progress.total < MIN_SHOWN_BYTES or (now - drawn < _INTERVAL_S and not ended):
                return
            drawn = now
            draw(import_line(name, progress, now - start))

        yield show


def import_line(name: str, progress: ImportProgress, seconds: float) -> LiveLine:
    """What the bar says.

    :param name: of the model.
    :param seconds: since the step began.
    """
    rate = progress.done / seconds if seconds > 0 else 0.0
    left = progress.total - progress.done
    return LiveLine(
        name=f"{progress.step} {name}",
        state=State.RUNNING if left > 0 else State.SUCCEEDED,
        fraction=min(progress.done / progress.total, 1.0) if progress.total else 1.0,
        count=f"{size_text(progress.done)}/{size_text(progress.total)}",
        remaining=f"{time_text(left / rate)} left" if rate > 0 and left > 0 else "",
        rate=f"{size_text(round(rate))}/s" if rate > 0 else "",
        metrics=(progress.file,),
    )
