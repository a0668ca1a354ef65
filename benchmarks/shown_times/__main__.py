"""What people are shown of the time of a job, against the clock on the wall, for more than 20 kinds of jobs.

usage: python -m benchmarks.shown_times [--only NAME ...]

For each job, the caller's clock runs from before the submission to the end of ``wait``. It is compared with what the
command line shows: how long the job waited for a worker and how long it took. What is between the two is the call
itself: ``before`` the job exists, while its data is read and stored, and the news of the end, whose usual length is
measured first, on jobs of one row, and taken off.
``left at half`` is the time left that was shown when half was done, against what was left then.
"""

from __future__ import annotations

import argparse
import statistics
import tempfile
import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

from rich.console import Console
from rich.table import Table

from benchmarks.cluster import TIMEOUT_S, running_cluster
from benchmarks.shown_times.kinds import KINDS, Kind, prepare
from longshore.producers import Client, Job
from longshore.producers.reporting.progress import RateWindow, progress_of, rate_text
from longshore.shared.ledger.records import JobRecord
from longshore.shared.vocabulary import State

#: Differences above this share are marked.
ALLOWED = 0.05
#: Seconds between two looks at a job, as often as a live line is drawn at most.
LOOK_INTERVAL_S = 0.1
#: Seconds below which a prediction at half way says nothing.
MIN_LEFT_S = 1.0


@dataclass(frozen=True)
class JobTimes:
    """The times of one job or of several that ran one after the other, in seconds."""

    #: By the caller's clock.
    wall: float
    #: Until the job existed: reading the head of a file, encoding rows, storing them.
    before: float
    #: Shown: from the submission to the start.
    waited: float
    #: Shown: from the start to the end.
    took: float
    #: Shown.
    rate: str
    #: The time left that was shown at half way, and what was left; ``None`` if the job was too short.
    left: tuple[float, float] | None

    def difference(self, overhead: float) -> float:
        """Seconds that the caller has waited and that are not shown."""
        return self.wall - self.before - self.waited - self.took - overhead


class HalfWay:
    """Remembers the time left that was shown when half of a job was done."""

    def __init__(self) -> None:
        self._window = RateWindow()
        self._shown: tuple[float, float] | None = None

    def watch(self, job: Job) -> None:
        """Look at a job until half of it is done, as a live line does."""
        while self._shown is None and not (record := job.record()).state.final:
            progress = self._window.update(progress_of(record))
            if progress.fraction >= 0.5 and progress.remaining is not None:
                self._shown = (progress.remaining, time.monotonic())
            time.sleep(LOOK_INTERVAL_S)

    def against(self, end: float) -> tuple[float, float] | None:
        """What was shown, and what was left."""
        if self._shown is None or end - self._shown[1] < MIN_LEFT_S:
            return None
        return self._shown[0], end - self._shown[1]


def measure(client: Client, kind: Kind, folder: Path) -> JobTimes:
    """Run the jobs of a kind."""
    earlier = None if kind.before is None else kind.before(client, folder)
    began, start = datetime.now(UTC), time.monotonic()
    jobs = kind.submit(client, folder, earlier)
    half_way = HalfWay()
    if kind.is_watched:
        threading.Thread(target=half_way.watch, args=jobs, daemon=True).start()
    client.wait(jobs, TIMEOUT_S)
    end = time.monotonic()
    records = [job.record() for job in jobs]
    assert all(record.state is State.SUCCEEDED for record in records), [(each.state, each.error) for each in records]
    rate = rate_text(progress_of(records[-1]).rate, records[-1].kind)
    before = max((min(record.created_at for record in records) - began).total_seconds(), 0.0)
    return JobTimes(end - start, before, *shown(records, began), rate, half_way.against(end))


def shown(records: Sequence[JobRecord], began: datetime) -> tuple[float, float]:
    """For how many seconds the jobs waited while none of them ran, and for how many they ran.

    :param began: when the caller began; a job that is retried was submitted before.
    """
    spans = sorted(
        (record.started_at, record.started_at + timedelta(seconds=progress_of(record).seconds))
        for record in records
        if record.started_at is not None
    )
    reached = max(began, min(record.created_at for record in records))
    waited = took = 0.0
    for started, ended in spans:
        waited += max((started - reached).total_seconds(), 0.0)
        took += max((ended - max(started, reached)).total_seconds(), 0.0)
        reached = max(reached, ended)
    return waited, took


def rows_of(name: str, measured: JobTimes, overhead: float) -> tuple[str, ...]:
    """A row of the table."""
    difference = measured.difference(overhead)
    share = difference / measured.wall
    left = error = ""
    if measured.left is not None:
        predicted, actual = measured.left
        left = f"{predicted:.1f} s of {actual:.1f} s"
        error = f"{(predicted - actual) / measured.wall:+.1%}"
    mark = "<--" if abs(share) > ALLOWED and abs(difference) > overhead else ""
    return (
        *(
            name,
            f"{measured.wall:.3f} s",
            f"{measured.before:.3f} s",
            f"{measured.waited:.3f} s",
            f"{measured.took:.3f} s",
            measured.rate,
        ),
        *(f"{1000 * difference:+,.0f} ms", f"{share:+.1%}", mark, left, error),
    )


def usual_overhead(client: Client, folder: Path) -> float:
    """The caller's own time around a job of one row, the median of several."""
    kind = KINDS["one row in memory"]
    measurements = [measure(client, kind, folder) for _ in range(25)][5:]
    return statistics.median(each.difference(0.0) for each in measurements)


def main() -> None:
    """Run the benchmark and print a table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", nargs="+", choices=list(KINDS), metavar="NAME", help=", ".join(KINDS))
    options = parser.parse_args()
    table = Table()
    for header in (
        "job",
        "wall clock",
        "before",
        "waited",
        "took",
        "speed",
        "difference",
        "share",
        "",
        "left at half",
        "error",
    ):
        table.add_column(header, justify="left" if header == "job" else "right", no_wrap=True)
    with running_cluster() as client, tempfile.TemporaryDirectory(prefix="longshore-benchmark-") as name:
        folder = Path(name)
        prepare(client, folder)
        overhead = usual_overhead(client, folder)
        table.title = (
            f"the news of the end, {1000 * overhead:.1f} ms, is taken off; errors are shares of the wall clock"
        )
        try:
            for name in options.only or KINDS:
                measure(client, KINDS["one row in memory"], folder)  # the worker is awake
                table.add_row(*rows_of(name, measure(client, KINDS[name], folder), overhead))
        finally:  # Ctrl-C prints what there is
            Console(width=150).print(table)


if __name__ == "__main__":
    main()
