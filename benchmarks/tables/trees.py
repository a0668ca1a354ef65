"""Boosted trees against LightGBM itself and against scikit-learn.

Training and batch inference of a table of 28 numbers, from Parquet to a model and from Parquet to Parquet, against a
script that calls LightGBM with the same settings and threads, in turn; how far the predictions of both models are
apart; and the accuracy on raw tables of mixed columns against scikit-learn's HistGradientBoosting with an encoding by
hand, on the same rows.

usage: python -m benchmarks.tables.trees [--rows 200000] [--rounds 3] [--only speed,accuracy]
"""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
import time
from pathlib import Path

import lightgbm as lgb
import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.parquet as pq
from rich.console import Console
from rich.table import Table

from benchmarks.cluster import TIMEOUT_S, running_cluster
from benchmarks.report import SpeedComparison, in_turn, show
from benchmarks.tables.by_hand import encoded, pipelines
from benchmarks.tables.mixed_tables import TABLES, TARGET
from longshore.producers import Client
from longshore.producers.options.keywords import TrainOptions

WIDTH = 28
#: Rounds of boosting, on both sides.
TREES = 100
#: The ratio to reach.
SPEED = 0.85
SETTINGS = {
    **{"objective": "binary", "deterministic": True, "force_row_wise": True, "verbosity": -1},
    "num_threads": os.cpu_count(),
}


def write_rows(path: Path, rows: int) -> None:
    """Write numbers, and one of two classes that depends on half of them."""
    random = np.random.default_rng(0)
    values = random.standard_normal((rows, WIDTH), dtype=np.float32)
    score = values[:, : WIDTH // 2].sum(axis=1) + 2 * values[:, 0] * values[:, 1] + random.standard_normal(rows)
    columns = {f"x{index}": values[:, index] for index in range(WIDTH)}
    pq.write_table(pa.table({**columns, TARGET: score > 0}), path)


def matrix(path: Path) -> npt.NDArray[np.float32]:
    """The numbers of a file, float32 ``(rows, WIDTH)``."""
    table = pq.read_table(path, columns=[f"x{index}" for index in range(WIDTH)])
    return np.stack([column.to_numpy() for column in table.columns], axis=1)


class BareLibrary:
    """A script that calls LightGBM."""

    def __init__(self, source: Path, rows: int) -> None:
        self._source, self._rows = source, rows
        self.booster: lgb.Booster | None = None

    def train(self) -> float:
        """Rows per second, from the file to the text of the model."""
        start = time.perf_counter()
        target = pq.read_table(self._source, columns=[TARGET])[TARGET].to_numpy().astype(float)
        self.booster = lgb.train(dict(SETTINGS), lgb.Dataset(matrix(self._source), target), TREES)
        self.booster.model_to_string()
        return self._rows / (time.perf_counter() - start)

    def infer(self) -> float:
        """Rows per second, from the file to a file of labels and scores."""
        assert self.booster is not None
        start = time.perf_counter()
        scores = np.asarray(self.booster.predict(matrix(self._source)))
        outputs = {"label": scores > 0.5, "score": np.maximum(scores, 1 - scores)}
        pq.write_table(pa.table(outputs), self._source.with_name("bare.parquet"))
        return self._rows / (time.perf_counter() - start)


class Longshore:
    """Jobs on a warm worker."""

    def __init__(self, client: Client, source: Path, rows: int) -> None:
        self._client, self._source, self._rows = client, source, rows
        self._outputs = 0

    def train(self) -> float:
        """Rows per second, from the submission of the job to its end."""
        start = time.perf_counter()
        options: TrainOptions = {
            "validation": 0.0,
            "standardize": False,
            "epochs": 10,
            "config": {"rounds": TREES // 10},
        }
        self._client.train("trees", "lightgbm", self._source, TARGET, **options).wait(TIMEOUT_S, progress=False)
        return self._rows / (time.perf_counter() - start)

    def infer(self) -> float:
        """Rows per second, likewise."""
        self._outputs += 1
        start = time.perf_counter()
        output = str(self._source.parent / f"ours-{self._outputs}" / "*.parquet")
        self._client.infer("trees:1", self._source, output=output).wait(TIMEOUT_S, progress=False)
        return self._rows / (time.perf_counter() - start)


def speeds(client: Client, rows: int, rounds: int) -> list[SpeedComparison]:
    """Compare both sides, and print how far the predictions of their models are apart."""
    with tempfile.TemporaryDirectory(prefix="longshore-benchmark-") as name:
        folder = Path(name)
        source = folder / "rows.parquet"
        write_rows(source, rows)
        bare, longshore = BareLibrary(source, rows), Longshore(client, source, rows)
        training = in_turn(rounds, longshore.train, bare.train)
        inference = in_turn(rounds, longshore.infer, bare.infer)
        stored = lgb.Booster(model_file=Path(client.models.export("trees:1", folder / "trees")) / "model.txt")
        assert bare.booster is not None
        apart = np.abs(np.asarray(stored.predict(matrix(source))) - np.asarray(bare.booster.predict(matrix(source))))
        print(f"predictions of both models on {rows:,} rows are at most {apart.max():.3g} apart")
    what = f"{rows:,} rows of {WIDTH} numbers, {TREES} trees"
    return [
        SpeedComparison(f"train on {what}", "rows", *training, "LightGBM", SPEED),
        SpeedComparison(f"infer {what}, Parquet to Parquet", "rows", *inference, "LightGBM", SPEED),
    ]


def show_accuracy(client: Client) -> None:
    """Train on each table of mixed columns, and print the scores on the rows to test on."""
    shown = Table(title="accuracy, or R² of a regression, on 3 of 10 rows")
    for column in ("table", "longshore, raw", "HistGradientBoosting", "difference"):
        shown.add_column(column, justify="left" if column == "table" else "right")
    for table in TABLES:
        train, test = table.split()
        client.train(table.name, "lightgbm", train, TARGET, validation=0.0).wait(TIMEOUT_S, progress=False)
        metrics = client.evaluate(table.name, test).wait(TIMEOUT_S, progress=False).evaluation().metrics
        score = metrics["r2" if table.regression else "accuracy"]
        other = pipelines(encoded(train), regression=table.regression)["boosted trees"]
        by_hand = float(other.fit(encoded(train), train[TARGET]).score(encoded(test), test[TARGET]))
        shown.add_row(table.name, f"{score:.3f}", f"{by_hand:.3f}", f"{score - by_hand:+.3f}")
    Console(file=sys.stdout, width=max(Console().width, 120)).print(shown)


def main() -> None:
    """Run the chosen comparisons and print tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", default="speed,accuracy")
    parser.add_argument("--rows", type=int, default=200_000)
    parser.add_argument("--rounds", type=int, default=3)
    options = parser.parse_args()
    names = options.only.split(",")
    with running_cluster() as client:
        if "speed" in names:
            show(speeds(client, options.rows, options.rounds))
        if "accuracy" in names:
            show_accuracy(client)


if __name__ == "__main__":
    main()
