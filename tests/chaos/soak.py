"""Mixed load without faults for a long time: what grows?

    python -m tests.chaos.soak --minutes 60

Every few seconds it looks at each process (memory, open files), at Postgres (connections, size) and at Redis (memory).
At the end it fits a line through the second half, prints the growth in an hour beside the noise around the line, and
the lines of the logs that are warnings, each kind once. Then it checks all results, as a run with faults does.
"""

from __future__ import annotations

import argparse
import re
import sys
import time
from collections import Counter, defaultdict
from contextlib import suppress
from dataclasses import dataclass, field

import numpy as np
import psutil

from tests.chaos.__main__ import say
from tests.chaos.deployment import Deployment, with_children
from tests.chaos.run import Outcome, run

#: Seconds between two looks.
INTERVAL_S = 5.0
#: What differs between two log lines of one kind.
VARIABLE = re.compile(r"[0-9a-f]{8}-[0-9a-f-]{27}(/\d+)*|\d+(\.\d+)?|0x[0-9a-f]+")


@dataclass
class Samples:
    """What was seen: for each quantity, the times in hours and the values."""

    series: dict[str, list[tuple[float, float]]] = field(default_factory=lambda: defaultdict(list))
    warnings: Counter[str] = field(default_factory=Counter)

    def take(self, deployment: Deployment, hours: float) -> None:
        """Look once."""
        named = {"relay-a": "relay a", "relay-b": "relay b", "workers": "supervisor"}
        processes = {label: deployment.process(name) for name, label in named.items()}
        processes |= {f"worker {number}": each for number, each in enumerate(deployment.workers())}
        processes |= {f"child {number}": each for number, each in enumerate(deployment.computing())}
        for name in ("small-1", "small-2", "large", "training"):
            processes[f"producer {name}"] = deployment.process(name)
        processes["redis"] = deployment.service("redis")
        for name, process in processes.items():
            with suppress(psutil.Error):
                if process is not None:
                    self._add(f"{name}: memory, MiB", hours, process.memory_info().rss / 2**20)
                    self._add(f"{name}: open files", hours, process.num_fds())
        ((connections, size),) = deployment.sql(
            "SELECT count(*), pg_database_size(current_database()) / 2.0 ^ 20 FROM pg_stat_activity"
            " WHERE datname = current_database()"
        )
        self._add("Postgres: connections", hours, float(str(connections)))
        self._add("Postgres: database, MiB", hours, float(str(size)))
        self._add("processes", hours, len(with_children(deployment.process("workers"))))
        with deployment.redis() as connection:
            self._add("Redis: memory, MiB", hours, connection.info("memory")["used_memory"] / 2**20)
            self._add("Redis: keys", hours, connection.dbsize())

    def _add(self, name: str, hours: float, value: float) -> None:
        self.series[name].append((hours, value))

    def table(self) -> str:
        """As Markdown: the median, the growth in an hour and the noise (standard deviation around the line)."""
        lines = ["| what | median | growth in an hour | noise |", "| --- | ---: | ---: | ---: |"]
        for name, samples in sorted(self.series.items()):
            late = np.array(samples[len(samples) // 2 :])
            if len(late) < 3:
                continue
            slope, offset = np.polyfit(late[:, 0], late[:, 1], 1)
            noise = np.std(late[:, 1] - (slope * late[:, 0] + offset))
            lines.append(f"| {name} | {np.median(late[:, 1]):.1f} | {slope:+.1f} | {noise:.1f} |")
        return "\n".join(lines)


def main() -> int:
    """Run once. Returns the exit status."""
    parser = argparse.ArgumentParser(prog="python -m tests.chaos.soak")
    parser.add_argument("--minutes", type=float, default=60)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--rows", type=int, default=100_000, help="of the file of the large jobs")
    options = parser.parse_args()
    samples = Samples()

    def watch(deployment: Deployment, _: Outcome) -> None:
        start = time.monotonic()
        while (now := time.monotonic()) < start + 60 * options.minutes:
            samples.take(deployment, (now - start) / 3600)
            time.sleep(INTERVAL_S)
        for log in (deployment.folder / "logs").iterdir():
            for line in log.read_text(errors="replace").splitlines():
                if " INFO " not in line:
                    samples.warnings[VARIABLE.sub("N", line)[:200]] += 1

    outcome = run(seed=options.seed, rows=options.rows, during=watch, say=say)
    say(samples.table())
    say(f"{outcome.report.jobs} jobs, {outcome.report.rows} rows checked")
    for line, count in samples.warnings.most_common(30):
        say(f"{count:6} x {line}")
    for problem in outcome.problems():
        say(problem)
    return 1 if outcome.problems() else 0


if __name__ == "__main__":
    sys.exit(main())
