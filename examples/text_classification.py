"""Text classification: an embedding, an LSTM and a dense layer, trained on news such as AG News.

Start a cluster with `longshore up`, then run `python examples/text_classification.py FILE.csv` in another terminal. The
file has no header; a row is the class, the title and the description. The words are numbered by a tokenizer that is
trained with the network and is part of the version, so that predictions take plain text.
"""

from __future__ import annotations

import argparse
import csv
import random
from pathlib import Path

from longshore.producers import Client


def read(path: Path, rows: int | None) -> tuple[list[str], list[str]]:
    """Texts and their classes, in random order."""
    with path.open(newline="", encoding="utf-8") as file:
        found = [(f"{title} {description}", label) for label, title, description in csv.reader(file)]
    random.Random(0).shuffle(found)
    found = found[:rows]
    return [text for text, _ in found], [label for _, label in found]


def main() -> None:
    parser = argparse.ArgumentParser(description="Learn the classes of news by an LSTM.")
    parser.add_argument("path", type=Path, help="a CSV file without a header: class, title, description")
    parser.add_argument("--rows", type=int, help="use so many rows of the file")
    parser.add_argument("--epochs", type=int, default=4)
    parser.add_argument("--hidden-size", type=int, default=128)
    parser.add_argument("--learning-rate", type=float, default=0.003)
    options = parser.parse_args()
    texts, labels = read(options.path, options.rows)

    with Client() as client:
        job = client.train(
            "news",
            family="rnn",
            data={"text": texts, "label": labels},
            target="label",
            tokenizer={"kind": "words", "vocabulary": 20_000, "length": 128},
            config={
                "cell": "lstm",
                "embedding": options.hidden_size,
                "hidden_size": options.hidden_size,
                "embedding_std": 0.1,
                "pooling": "max",
                "dropout": 0.5,
            },
            learning_rate=options.learning_rate,
            batch_size=32,
            epochs=options.epochs,
            validation=0.1,
            test=0.2,
        ).wait()
        epochs: dict[int, dict[str, float]] = {}
        for metric in job.metrics():
            if not metric.name.startswith("step/"):
                epochs.setdefault(metric.step, {})[metric.name] = metric.value
        for epoch, found in epochs.items():
            print(
                f"epoch {epoch}: training loss {found['train_loss']:.3f}, "
                f"validation loss {found['val_loss']:.3f}, accuracy {found['val_accuracy']:.3f}"
            )
        version = f"news:{client.models.get('news').version}"  # the newest
        print(f"{version}: test accuracy {epochs[max(epochs)]['test_accuracy']:.3f}")

        some = texts[:2]
        results = client.infer(version, some).wait().results()
        for text, label, score in zip(some, results["label"], results["score"], strict=True):
            print(f"{text[:60]!r} is of class {label} ({score.as_py():.2f})")


if __name__ == "__main__":
    main()
