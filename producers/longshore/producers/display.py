"""The progress bar of a job, on a terminal; nothing in a pipe."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from uuid import UUID

from longshore.producers.progress import RateWindow, progress_of, rate_text, time_text
from longshore.shared.ledger.records import JobRecord


@contextmanager
def progress_display(job: UUID, wanted: bool | None) -> Iterator[Callable[[JobRecord], None]]:
    """Gives what to call whenever the job's record changes.

    :param wanted: ``None`` draws if standard error is a terminal.
    """
    if not (sys.stderr.isatty() if wanted is None else wanted):
        yield lambda record: None
        return
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn

    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn("{task.fields[rate]}"),
        TextColumn("{task.fields[left]}"),
    )
    with Progress(*columns, console=Console(stderr=True)) as display:
        task = display.add_task(str(job), total=None, rate="", left="")
        window = RateWindow()

        def show(record: JobRecord) -> None:
            now = window.look(progress_of(record))
            rate, left = rate_text(now.rate, record.kind), time_text(now.remaining)
            name = record.model if record.version is None else f"{record.model}:{record.version}"
            text = f"{record.kind} {name} {record.state}"
            display.update(task, description=text, completed=now.done, total=now.total, rate=rate, left=left)

        yield show
