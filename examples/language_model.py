"""A language model of your own: train a small decoder on a text file, and let it write.

Start a cluster with `longshore up`, then run `python examples/language_model.py FILE.txt` in another terminal. The
documents are paragraphs, which blank lines separate. With `--documents lines`, each line is a document, and of a folder
each `.txt` file is: the worker reads these itself, however large they are. The version is a Hugging Face folder, so
`transformers` loads what `longshore models export` writes.
"""

from __future__ import annotations

import argparse
import re
from pathlib import Path

from longshore.producers import Client


def read_paragraphs(path: Path) -> list[str]:
    """Read the paragraphs of a text file."""
    return [text.strip() for text in re.split(r"\n\s*\n", path.read_text(encoding="utf-8")) if text.strip()]


def main() -> None:
    parser = argparse.ArgumentParser(description="Train a small language model on a text file.")
    parser.add_argument("path", type=Path, help="text file, or a folder of .txt files")
    parser.add_argument("--documents", choices=["paragraphs", "lines"], default="paragraphs", help="what a file has")
    parser.add_argument("--name", default="tales", help="name of the model")
    parser.add_argument("--epochs", type=int, default=10)
    parser.add_argument("--layers", type=int, default=4)
    parser.add_argument("--width", type=int, default=256)
    parser.add_argument("--context", type=int, default=256)
    parser.add_argument("--vocabulary", type=int, default=4000)
    parser.add_argument("--learning-rate", type=float, default=0.001)
    parser.add_argument("--prompt", default="Once upon a time")
    options = parser.parse_args()
    data: str | dict[str, list[str]] = str(options.path)
    if options.documents == "paragraphs" and not options.path.is_dir():
        paragraphs = read_paragraphs(options.path)
        if len(paragraphs) < 2:  # some are held out
            parser.error(f"{options.path} has no two paragraphs; use --documents lines if its lines are documents")
        print(f"{len(paragraphs)} documents")
        data = {"text": paragraphs}

    with Client() as client:
        job = client.train(
            options.name,
            family="causal_lm",
            data=data,
            target="text",
            tokenizer={"vocabulary": options.vocabulary},
            config={
                "n_layers": options.layers,
                "d_model": options.width,
                "n_heads": 4,
                "n_kv_heads": 2,
                "context": options.context,
            },
            learning_rate=options.learning_rate,
            schedule="cosine",
            epochs=options.epochs,
        ).wait()
        for metric in job.metrics():
            if metric.name == "val_perplexity":
                print(f"epoch {metric.step}: perplexity of held-out documents {metric.value:.2f}")
        for note in job.notes:
            print(f"note: {note}")
        outcome = job.record().outcome
        assert outcome is not None
        version = f"{outcome['model']}:{outcome['version']}"
        texts = client.generate(version, [options.prompt], max_tokens=40, temperature=0.7, seed=0).wait().results()
        print(f"{version} writes: {options.prompt}{texts.texts[0]}")


if __name__ == "__main__":
    main()
