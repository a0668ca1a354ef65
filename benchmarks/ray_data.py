"""Batch inference on a warm worker against Ray Data, on the same files.

usage: python -m benchmarks.ray_data --ray-python /path/of/ray/bin/python [--rounds 3] [--rows N] [--only mlp,cnn]

Ray has an environment of its own:

    python3.11 -m venv /path/of/ray
    /path/of/ray/bin/pip install "ray[data]" torch==2.13.0 numpy pyarrow

The ``mlp`` writes Parquet files on both sides. The ``cnn`` writes into the table ``results`` here, and Parquet files
there, which costs less. Ray's clock starts when its actor has loaded the model, and nothing is read before that; ours
when the job is submitted. The input is 50,000 rows under as many names as it takes, so that it stays in memory.
"""

from __future__ import annotations

import argparse
import os
import shutil
import subprocess
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from benchmarks.cluster import running_cluster
from benchmarks.inference import job_rate, make_version, write_rows
from benchmarks.report import Comparison, in_turn, show

#: Rows of a file of the input.
FILE_ROWS = 50_000
#: Rows of a row group: some batches.
ROW_GROUPS = {"mlp": 8192, "cnn": 2048}
WANTED = 1.3


@dataclass(frozen=True)
class Work:
    """What both sides run."""

    kind: str
    width: int
    #: Ours writes files, and not the table.
    files: bool


WORKS = {"mlp": Work("mlp", 784, True), "cnn": Work("cnn", 3072, False)}


def compare(work: Work, python: Path, rows: int, rounds: int) -> Comparison:
    """One network, both sides in turn. They do not run at the same time, but both stay loaded."""
    with _input(work, rows) as source, running_cluster() as client, ray_rate(python, work, source, rows) as theirs:
        make_version(client, work.kind)
        ours = job_rate(client, work.kind, source, rows, work.files)
        measured = in_turn(rounds, ours, theirs)
    return Comparison(f"{work.kind}, {rows:,} rows", "rows", *measured, "Ray Data", WANTED)


@contextmanager
def ray_rate(python: Path, work: Work, source: Path, rows: int) -> Iterator[Callable[[], float]]:
    """A function that runs the rows through Ray once and gives its rate."""
    root = Path(__file__).parent.parent
    threads = str(os.cpu_count() or 1)
    environment = {**os.environ, "PYTHONPATH": str(root), "RAY_USAGE_STATS_ENABLED": "0"}
    command = [str(python), "-m", "benchmarks.ray_side", work.kind, str(source), threads]
    with subprocess.Popen(
        command, cwd=root, env=environment, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        asking, answers = process.stdin, process.stdout

        def run() -> float:
            print("run", file=asking, flush=True)
            for line in answers:  # Ray itself may print some
                if line.startswith("took "):
                    warm, whole = map(float, line.split()[1:])
                    print(f"Ray, {work.kind}: {warm:.1f} s, and {whole - warm:.1f} s until its model was loaded")
                    return rows / warm
            raise RuntimeError("Ray has ended; what it says stands above")

        yield run
        asking.close()  # so it ends


@contextmanager
def _input(work: Work, rows: int) -> Iterator[Path]:
    """A folder of Parquet files."""
    folder = Path(tempfile.mkdtemp(prefix="longshore-benchmark-", dir="/tmp"))
    try:
        source = folder / "rows"
        source.mkdir()
        whole, rest = divmod(rows, FILE_ROWS)
        names = [source / f"{number:05}.parquet" for number in range(whole)]
        for number, name in enumerate(names):
            if number:
                name.hardlink_to(names[0])
            else:
                write_rows(name, FILE_ROWS, work.width, ROW_GROUPS[work.kind])
        if rest:
            write_rows(source / f"{whole:05}.parquet", rest, work.width, ROW_GROUPS[work.kind])
        yield source
    finally:
        shutil.rmtree(folder)


def main() -> None:
    """Run both networks and print one table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--ray-python", type=Path, required=True, help="of the environment that has Ray")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--rows", type=int, default=1_000_000)
    parser.add_argument("--only", default=",".join(WORKS))
    options = parser.parse_args()
    chosen = [WORKS[name] for name in options.only.split(",")]
    show([compare(work, options.ray_python.absolute(), options.rows, options.rounds) for work in chosen])


if __name__ == "__main__":
    main()
