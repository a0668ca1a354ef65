"""The accuracy of a news classifier trained from scratch, from the CSV file to the evaluation.

A seed selects the rows to train on; a tenth of them decide when to stop. All other rows are the test set.

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

from benchmarks.cluster import TIMEOUT_S, running_cluster
from longshore.producers import Client
from longshore.producers.options.keywords import Json

#: The configuration of each family.
CONFIGS: dict[str, dict[str, Json]] = {
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
LEARNING_RATES = {"rnn": 0.003, "transformer": 0.001}


def write(data: Path, rows: int, seed: int, folder: Path) -> tuple[Path, Path]:
    """Write the training set and the test set. Returns their paths."""
    with data.open(newline="", encoding="utf-8") as file:
        examples = [(f"{title} {text}", label) for label, title, text in csv.reader(file)]
    random.Random(seed).shuffle(examples)
    paths = folder / "train.parquet", folder / "test.parquet"
    for path, split in zip(paths, (examples[:rows], examples[rows:]), strict=True):
        pq.write_table(pa.table({"text": [text for text, _ in split], "label": [label for _, label in split]}), path)
    return paths


def measure(client: Client, family: str, train: Path, test: Path, epochs: int) -> None:
    """Train, evaluate, and print the times and the accuracy."""
    start = time.perf_counter()
    job = client.train(
        "news",
        family,
        train,
        "label",
        features=["text"],
        config=CONFIGS[family],
        learning_rate=LEARNING_RATES[family],
        batch_size=32,
        epochs=epochs,
        early_stopping=2,
    ).wait(TIMEOUT_S, progress=False)
    trained = time.perf_counter() - start
    start = time.perf_counter()
    evaluation = client.evaluate("news", test).wait(TIMEOUT_S, progress=False).evaluation()
    low, high = evaluation.intervals["accuracy"]
    evaluated = time.perf_counter() - start
    print(f"{family}: trained in {trained:.0f} s, evaluated {evaluation.rows:,} rows in {evaluated:.1f} s")
    print(f"test accuracy {evaluation.metrics['accuracy']:.4f} (95 %: {low:.3f} to {high:.3f}); {'; '.join(job.notes)}")


def main() -> None:
    """Run the benchmark and print the accuracy."""
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
