"""How well news are classified by a network that is trained from nothing: from the file to the evaluation.

Rows are drawn by a seed: those to train on, a tenth of which decide when to stop, and all others to test on.

usage: python -m benchmarks.ag_news AG_NEWS.csv [--rows 6000] [--family rnn] [--seed 0]

AG_NEWS.csv has no header: class, title, description.
"""

from __future__ import annotations

import argparse
import csv
import random
import tempfile
import time
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from benchmarks.cluster import PATIENCE, running_cluster
from longshore.producers import Client

#: What each family is told.
CONFIGS: dict[str, dict[str, object]] = {
    "rnn": {
        "cell": "lstm",
        "embedding": 128,
        "embedding_std": 0.1,
        "hidden_size": 128,
        "pooling": "max",
        "dropout": 0.5,
    },
    "transformer": {"d_model": 64, "dim_feedforward": 128, "num_layers": 1, "dropout": 0.5},
}
RATES = {"rnn": 0.003, "transformer": 0.001}


def write(data: Path, rows: int, seed: int, folder: Path) -> tuple[Path, Path]:
    """The rows to train on, and the others."""
    with data.open(newline="", encoding="utf-8") as file:
        found = [(f"{title} {text}", label) for label, title, text in csv.reader(file)]
    random.Random(seed).shuffle(found)
    paths = folder / "train.parquet", folder / "test.parquet"
    for path, part in zip(paths, (found[:rows], found[rows:]), strict=True):
        pq.write_table(pa.table({"text": [text for text, _ in part], "label": [label for _, label in part]}), path)
    return paths


def measure(client: Client, family: str, train: Path, test: Path, epochs: int) -> None:
    """Train, evaluate, and print what came of it."""
    start = time.perf_counter()
    job = client.train(
        "news",
        family,
        train,
        "label",
        features=["text"],
        config=CONFIGS[family],
        learning_rate=RATES[family],
        batch_size=32,
        epochs=epochs,
        early_stopping=2,
    ).wait(PATIENCE, progress=False)
    trained = time.perf_counter() - start
    start = time.perf_counter()
    found = client.evaluate("news", test).wait(PATIENCE, progress=False).evaluation()
    low, high = found.intervals["accuracy"]
    print(f"{family}: trained in {trained:.0f} s, evaluated {found.rows:,} rows in {time.perf_counter() - start:.1f} s")
    print(f"test accuracy {found.metrics['accuracy']:.4f} (95 %: {low:.3f} to {high:.3f}); {'; '.join(job.notes)}")


def main() -> None:
    """Run it and print the accuracy."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path)
    parser.add_argument("--rows", type=int, default=6_000)
    parser.add_argument("--family", choices=list(CONFIGS), default="rnn")
    parser.add_argument("--epochs", type=int, default=6)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="longshore-benchmark-") as name, running_cluster() as client:
        train, test = write(options.data, options.rows, options.seed, Path(name))
        measure(client, options.family, train, test, options.epochs)


if __name__ == "__main__":
    main()
