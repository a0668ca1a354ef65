"""Adapt a language model: train a LoRA adapter that answers with the class of a news article such as those of AG News.

Start a cluster with `longshore up`, make a language model (`python examples/language_model.py FILE.txt`, or `longshore
models import` of a folder), then run `python examples/adapt.py FILE.csv --base tales` in another terminal. The file has
no header; each row has a class, a title and a description. Only the answers are learned. The version shares the files
of its base, and many adapters of one base run beside each other.
"""

from __future__ import annotations

import argparse
import csv
import random
from pathlib import Path

from longshore.producers import Client


def read_pairs(path: Path, rows: int | None) -> list[dict[str, str]]:
    """Read prompts and completions, in random order."""
    with path.open(newline="", encoding="utf-8") as file:
        pairs = [{"prompt": f"{title}\nClass:", "completion": f" {label}"} for label, title, _ in csv.reader(file)]
    random.Random(0).shuffle(pairs)
    return pairs[:rows]


def main() -> None:
    parser = argparse.ArgumentParser(description="Adapt a language model to classify news articles.")
    parser.add_argument("path", type=Path, help="CSV file without a header: class, title, description")
    parser.add_argument("--base", default="tales", help="the language model")
    parser.add_argument("--rows", type=int, help="maximum number of rows to use")
    parser.add_argument("--epochs", type=int, default=4)
    parser.add_argument("--rank", type=int, default=16)
    parser.add_argument("--learning-rate", type=float, default=0.003)
    options = parser.parse_args()
    pairs = read_pairs(options.path, options.rows)
    held_out = pairs[: len(pairs) // 10]

    with Client() as client:
        job = client.train(
            "news-answers",
            family="lora",
            data=pairs[len(held_out) :],
            target="completion",
            base=options.base,
            config={"rank": options.rank},
            learning_rate=options.learning_rate,
            epochs=options.epochs,
        ).wait()
        for metric in job.metrics():
            if metric.name == "val_loss":
                print(f"epoch {metric.step}: loss of held-out answers {metric.value:.3f}")
        outcome = job.record().outcome
        assert outcome is not None
        version = f"{outcome['model']}:{outcome['version']}"
        for name in (options.base, version):
            answers = client.generate(name, [pair["prompt"] for pair in held_out], max_tokens=3).wait().results().texts
            pairs_of_texts = zip(answers, (pair["completion"] for pair in held_out), strict=True)
            right = sum(answer.strip() == expected.strip() for answer, expected in pairs_of_texts)
            print(f"{name}: {right} of {len(held_out)} answers are right")


if __name__ == "__main__":
    main()
