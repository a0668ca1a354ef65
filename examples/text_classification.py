"""Text classification: train an embedding, an LSTM and a dense layer on news articles such as AG News.

Start a cluster with `longshore up`, then run `python examples/text_classification.py FILE.csv` in another terminal. The
file has no header; each row has a class, a title and a description. A tokenizer that is trained with the network turns
words into ids. It is part of the version, so inference takes plain text.
"""

from __future__ import annotations

import argparse
import csv
import random
from pathlib import Path

from longshore.producers import Client


def read_news(path: Path, rows: int | None) -> tuple[list[str], list[str]]:
    """Read the texts and their classes, in random order."""
    with path.open(newline="", encoding="utf-8") as file:
        articles = [(f"{title} {description}", label) for label, title, description in csv.reader(file)]
    random.Random(0).shuffle(articles)
    articles = articles[:rows]
    return [text for text, _ in articles], [label for _, label in articles]


def main() -> None:
    parser = argparse.ArgumentParser(description="Train an LSTM to classify news articles.")
    parser.add_argument("path", type=Path, help="CSV file without a header: class, title, description")
    parser.add_argument("--rows", type=int, help="maximum number of rows to use")
    parser.add_argument("--epochs", type=int, default=4)
    parser.add_argument("--hidden-size", type=int, default=128)
    parser.add_argument("--learning-rate", type=float, default=0.003)
    options = parser.parse_args()
    texts, labels = read_news(options.path, options.rows)

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
        for epoch, metrics in epochs.items():
            print(
                f"epoch {epoch}: training loss {metrics['train_loss']:.3f}, "
                f"validation loss {metrics['val_loss']:.3f}, accuracy {metrics['val_accuracy']:.3f}"
            )
        version = f"news:{client.models.get('news').version}"  # the newest
        print(f"{version}: test accuracy {epochs[max(epochs)]['test_accuracy']:.3f}")

        sample = texts[:2]
        results = client.infer(version, sample).wait().results()
        for text, label, score in zip(sample, results["label"], results["score"], strict=True):
            print(f"{text[:60]!r} has class {label} ({score.as_py():.2f})")


if __name__ == "__main__":
    main()
