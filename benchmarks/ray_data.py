"""Batch inference on a warm worker against Ray Data, on the same files.

usage: python -m benchmarks.ray_data --ray-python /path/of/ray/bin/python [--rounds 3] [--rows N] [--only mlp,cnn]

Ray has an environment of its own:

    python3.11 -m venv /path/of/ray
    /path/of/ray/bin/pip install "ray[data]" torch==2.13.0 numpy pyarrow

With ``mlp``, both sides write Parquet files. With ``cnn``, Longshore writes into the table ``results``, and Ray writes
Parquet files, which costs less. Ray's time starts when its actor has loaded the model, before anything is read;
Longshore's when the job is submitted. The input is one file of 50,000 rows under many names, so that it stays in
memory.
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
from benchmarks.report import SpeedComparison, in_turn, show

#: Rows in a file of the input.
FILE_ROWS = 50_000
#: Rows in a row group: a few batches.
ROW_GROUPS = {"mlp": 8192, "cnn": 2048}
TARGET_RATIO = 1.3


@dataclass(frozen=True)
class RayCase:
    """One network to run on both sides."""

    kind: str
    width: int
    #: Longshore writes files instead of rows in the table.
    files: bool


CASES = {"mlp": RayCase("mlp", 784, True), "cnn": RayCase("cnn", 3072, False)}


def compare(case: RayCase, python: Path, rows: int, rounds: int) -> SpeedComparison:
    """Measure both sides in turn. They do not run at the same time, but both keep their models loaded."""
    with _input(case, rows) as source, running_cluster() as client, ray_rate(python, case, source, rows) as theirs:
        make_version(client, case.kind)
        ours = job_rate(client, case.kind, source, rows, case.files)
        rates = in_turn(rounds, ours, theirs)
    return SpeedComparison(f"{case.kind}, {rows:,} rows", "rows", *rates, "Ray Data", TARGET_RATIO)


@contextmanager
def ray_rate(python: Path, case: RayCase, source: Path, rows: int) -> Iterator[Callable[[], float]]:
    """A function that runs the rows through Ray once and returns its rows per second."""
    root = Path(__file__).parent.parent
    threads = str(os.cpu_count() or 1)
    environment = {**os.environ, "PYTHONPATH": str(root), "RAY_USAGE_STATS_ENABLED": "0"}
    command = [str(python), "-m", "benchmarks.sides.ray", case.kind, str(source), threads]
    with subprocess.Popen(
        command, cwd=root, env=environment, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        requests, answers = process.stdin, process.stdout

        def run() -> float:
            print("run", file=requests, flush=True)
            for line in answers:  # Ray itself may print lines
                if line.startswith("took "):
                    warm, whole = map(float, line.split()[1:])
                    print(f"Ray, {case.kind}: {warm:.1f} s, and {whole - warm:.1f} s until its model was loaded")
                    return rows / warm
            raise RuntimeError("Ray has exited; its output is above")

        yield run
        requests.close()  # makes the process exit


@contextmanager
def _input(case: RayCase, rows: int) -> Iterator[Path]:
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
                write_rows(name, FILE_ROWS, case.width, ROW_GROUPS[case.kind])
        if rest:
            write_rows(source / f"{whole:05}.parquet", rest, case.width, ROW_GROUPS[case.kind])
        yield source
    finally:
        shutil.rmtree(folder)


def main() -> None:
    """Run both networks and print one table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--ray-python", type=Path, required=True, help="of the environment that has Ray")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--rows", type=int, default=1_000_000)
    parser.add_argument("--only", default=",".join(CASES))
    options = parser.parse_args()
    chosen = [CASES[name] for name in options.only.split(",")]
    show([compare(case, options.ray_python.absolute(), options.rows, options.rounds) for case in chosen])


if __name__ == "__main__":
    main()
