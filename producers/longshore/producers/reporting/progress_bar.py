"""The progress bar of a job."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from uuid import UUID

from longshore.producers.reporting.curves import latest
from longshore.producers.reporting.progress import RateWindow, progress_of, rate_text, time_text
from longshore.shared.ledger.records import JobRecord, MetricRecord
from longshore.shared.vocabulary import JobKind


@contextmanager
def progress_display(
    job: UUID, enabled: bool | None, metrics: Callable[[], Sequence[MetricRecord]]
) -> Iterator[Callable[[JobRecord], None]]:
    """Show a progress bar on standard error. Yields a function to be called whenever the job's record changes.

    :param enabled: whether to show the bar; ``None`` shows it if standard error is a terminal.
    :param metrics: reads the metrics of the job. The bar of a training job shows their latest values.
    """
    if not (sys.stderr.isatty() if enabled is None else enabled):
        yield lambda record: None
        return
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn

    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn("{task.fields[rate]}"),
        TextColumn("{task.fields[remaining]}"),
        TextColumn("{task.fields[metrics]}", style="cyan"),
    )
    with Progress(*columns, console=Console(stderr=True)) as display:
        task = display.add_task(str(job), total=None, rate="", remaining="", metrics="")
        window = RateWindow()

        def show(record: JobRecord) -> None:
            current = window.update(progress_of(record))
            rate, remaining = rate_text(current.rate, record.kind), time_text(current.remaining)
            name = record.model if record.version is None else f"{record.model}:{record.version}"
            text = f"{record.kind} {name} {record.state}"
            latest_metrics = _latest_metrics(metrics()) if record.kind == JobKind.TRAIN else ""
            display.update(task, description=text, completed=current.done, total=current.total)
            display.update(task, rate=rate, remaining=remaining, metrics=latest_metrics)

        yield show


def _latest_metrics(metrics: Sequence[MetricRecord]) -> str:
    """The latest value of each metric, as in ``train_loss 0.31  val_loss 0.35``."""
    return "  ".join(f"{name} {value:.4g}" for name, value in latest(metrics).items())
