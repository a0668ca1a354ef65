"""The output of ``longshore top``: what a cluster does now, once or again and again."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING
from uuid import UUID

from longshore.producers.cli.output import clean
from longshore.producers.cli.table_layout import GAP, TableColumn, fit, lay_out
from longshore.producers.cli.views.device_table import (
    DEVICE_COLUMNS,
    device_document,
    device_row,
    hidden_text,
    shortened,
    shown_devices,
)
from longshore.producers.documents.jobs import job_document
from longshore.producers.reporting.activity.devices import job_text
from longshore.producers.reporting.activity.overview import Overview, read_overview
from longshore.producers.reporting.human import age_text
from longshore.shared.errors import ServiceUnavailable
from longshore.shared.ledger.activity import MAX_OPEN_JOBS

if TYPE_CHECKING:
    from rich.text import Text

    from longshore.shared.ledger.ledger import Ledger

NEXT_COLUMNS = (
    TableColumn("NEXT", min_width=12),
    TableColumn("QUEUE", 2),
    TableColumn("PRIORITY", 4),
    TableColumn("AGE", 3),
    TableColumn("PRODUCER", 5, min_width=12),
    TableColumn("JOB", 1),
)
#: The colours of states.
_STYLES = {"busy": "cyan", "idle": "green", "silent": "red"}


def overview_document(overview: Overview) -> dict[str, object]:
    """What a cluster does as a JSON document."""
    return {
        "read_at": overview.read_at,
        "jobs": dict(overview.jobs),
        "workers": [device_document(device, None) for device in overview.devices],
        "next": [job_document(record) for record in overview.next],
    }


def overview_lines(overview: Overview, ids: Mapping[UUID, str], width: int | None) -> Iterator[str]:
    """What a cluster does, as lines of text.

    :param ids: how the ids of jobs are written; those that are missing are written in full.
    :param width: of the terminal in characters; ``None`` is unlimited.
    """
    alive = [device for device in overview.devices if device.worker.alive]
    busy = sum(1 for device in alive if device.jobs)
    counts = ", ".join(f"{_count(count)} {state}" for state, count in overview.jobs.items())
    yield f"{overview.read_at.astimezone():%H:%M:%S}  workers: {len(alive)} alive, {busy} busy"
    yield f"jobs: {counts}"
    yield ""
    if overview.devices:
        yield from _table(DEVICE_COLUMNS, [device_row(each, ids) for each in shown_devices(overview.devices)], width)
        if (hidden := hidden_text(overview.devices)) is not None:
            yield hidden
    else:
        yield "no workers"
    if overview.next:
        yield ""
        rows = [
            (job_text(job), job.queue, job.priority, age_text(job.created_at), job.producer, ids.get(job.id, job.id))
            for job in overview.next
        ]
        yield from _table(NEXT_COLUMNS, rows, width)


def show_live(ledger: Ledger, interval_s: float) -> None:
    """Show what a cluster does until Ctrl-C, on the whole terminal. While Postgres is away, it says so.

    :param interval_s: seconds between two looks.
    :raises ServiceUnavailable: Postgres cannot be reached at first.
    """
    from rich.console import Console
    from rich.live import Live

    console = Console()
    try:
        lines = _read_lines(ledger, console.width)
        with Live(console=console, screen=True, auto_refresh=False) as live:
            while True:
                live.update(_styled(lines), refresh=True)
                time.sleep(interval_s)
                try:
                    lines = _read_lines(ledger, console.width)
                except ServiceUnavailable as error:
                    lines = [f"{clean(error)}; trying again", *lines[1:]]
    except KeyboardInterrupt:
        return


def _read_lines(ledger: Ledger, width: int) -> list[str]:
    overview = read_overview(ledger)
    return list(overview_lines(overview, shortened(ledger, overview.devices, overview.next), width))


def _table(columns: Sequence[TableColumn], rows: Sequence[Sequence[object]], width: int | None) -> Iterator[str]:
    cells = [[clean(cell) for cell in row] for row in rows]
    for line in lay_out(columns, cells, fit(columns, cells, width)):
        yield (" " * GAP).join(line).rstrip()


def _styled(lines: Sequence[str]) -> Text:
    from rich.text import Text

    text = Text("\n".join(lines), no_wrap=True, overflow="ellipsis")
    for word, style in _STYLES.items():
        text.highlight_regex(rf"(?m)^\S+ +\b{word}\b", style)
    text.highlight_regex(r"(?m)^(WORKER|NEXT) .*$", "bold")
    return text


def _count(count: int) -> str:
    return f"{count:,}+" if count >= MAX_OPEN_JOBS else f"{count:,}"
