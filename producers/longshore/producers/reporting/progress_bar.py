"""The progress bar of a job, on a terminal; nothing in a pipe."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from uuid import UUID

from longshore.producers.reporting.curves import latest
from longshore.producers.reporting.progress import RateWindow, progress_of, rate_text, time_text
from longshore.shared.ledger.records import JobRecord, MetricRecord


@contextmanager
def progress_display(
    job: UUID, wanted: bool | None, metrics: Callable[[], Sequence[MetricRecord]]
) -> Iterator[Callable[[JobRecord], None]]:
    """Gives what to call whenever the job's record changes.

    :param wanted: ``None`` draws if standard error is a terminal.
    :param metrics: reads what the job has reported; of training jobs the newest values are shown.
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
        TextColumn("{task.fields[measured]}", style="cyan"),
    )
    with Progress(*columns, console=Console(stderr=True)) as display:
        task = display.add_task(str(job), total=None, rate="", left="", measured="")
        window = RateWindow()

        def show(record: JobRecord) -> None:
            now = window.look(progress_of(record))
            rate, left = rate_text(now.rate, record.kind), time_text(now.remaining)
            name = record.model if record.version is None else f"{record.model}:{record.version}"
            text = f"{record.kind} {name} {record.state}"
            measured = _measured(metrics()) if record.kind == "train" else ""
            display.update(task, description=text, completed=now.done, total=now.total)
            display.update(task, rate=rate, left=left, measured=measured)

        yield show


def _measured(metrics: Sequence[MetricRecord]) -> str:
    """The newest values: ``train_loss 0.31  val_loss 0.35``."""
    return "  ".join(f"{name} {value:.4g}" for name, value in latest(metrics).items())
