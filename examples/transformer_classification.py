"""Classification of pairs: train a transformer to decide whether two sequences of tokens share a word. Its input
columns are input_ids, attention_mask and token_type_ids, as a tokenizer returns them for pairs of texts. The example
then exports the parameters to HDF5, imports them again, and compares the predictions.

Start a cluster with `longshore up`, then run `python examples/transformer_classification.py` in another terminal. With
a path, the example trains on your own file (Parquet, JSON Lines, ...) with these three columns of lists and `label`.
"""

from __future__ import annotations

import argparse
import tempfile
from pathlib import Path

import h5py
import numpy as np

from longshore.producers import Client

#: Special ids: padding, the start of a row, and the end of each of its two sequences.
PADDING, BEGIN, END = 0, 1, 2
FIRST_WORD = 3
COLUMNS = ["input_ids", "attention_mask", "token_type_ids"]


def make_rows(count: int, words: int, max_words: int, seed: int = 0) -> dict[str, list[object]]:
    """Generate padded pairs of sequences of 2 to ``max_words`` distinct words. Half of the pairs share a word."""
    rng = np.random.default_rng(seed)
    length = 2 * max_words + 3
    rows: dict[str, list[object]] = {name: [] for name in [*COLUMNS, "label"]}
    for number in range(count):
        sizes = rng.integers(2, max_words + 1, 2)
        both = FIRST_WORD + rng.permutation(words)[: sizes.sum()]
        first, second = both[: sizes[0]], both[sizes[0] :]
        if number % 2:
            second[rng.integers(len(second))] = first[rng.integers(len(first))]
        ids = [BEGIN, *first.tolist(), END, *second.tolist(), END]
        padding = length - len(ids)
        rows["input_ids"].append(ids + [PADDING] * padding)
        rows["attention_mask"].append([1] * len(ids) + [0] * padding)
        rows["token_type_ids"].append([0] * (len(first) + 2) + [1] * (len(second) + 1) + [0] * padding)
        rows["label"].append("related" if number % 2 else "unrelated")
    return rows


def main() -> None:
    parser = argparse.ArgumentParser(description="Train a transformer to decide whether two sequences share a word.")
    parser.add_argument("path", nargs="?", help="file with your own rows; default: generated rows")
    parser.add_argument("--rows", type=int, default=6000, help="number of generated rows")
    parser.add_argument("--words", type=int, default=12, help="number of different words in generated rows")
    parser.add_argument("--longest", type=int, default=3, help="maximum number of words in a sequence")
    parser.add_argument("--vocabulary", type=int, help="number of token ids; required with your own rows")
    parser.add_argument("--epochs", type=int, default=12)
    parser.add_argument("--folder", type=Path, help="folder to write the parameters to; default: a temporary folder")
    options = parser.parse_args()
    if options.path and not options.vocabulary:
        parser.error("--vocabulary is required with your own rows: the number of ids of their tokenizer")
    data = options.path or make_rows(options.rows, options.words, options.longest)

    with Client() as client, tempfile.TemporaryDirectory() as temporary:
        job = client.train(
            "pairs",
            family="transformer",
            data=data,
            target="label",
            features=COLUMNS,
            config={
                "vocabulary": options.vocabulary or FIRST_WORD + options.words,
                "token_types": 2,
                **{"d_model": 64, "nhead": 4, "num_layers": 2, "dim_feedforward": 128, "dropout": 0.0},
            },
            optimizer="adamw",
            learning_rate=0.002,
            weight_decay=0.01,
            schedule="linear",
            warmup_steps=50,
            clip_grad_norm=1.0,
            batch_size=64,
            epochs=options.epochs,
            validation=0.1,
            test=0.1,
            train_metrics=True,
        ).wait()
        epochs: dict[int, dict[str, float]] = {}
        for metric in job.metrics():
            if metric.name.startswith("step/"):
                continue  # recorded about once a second by step, not by epoch
            epochs.setdefault(metric.step, {})[metric.name] = metric.value
        for epoch, metrics in epochs.items():
            print(
                f"epoch {epoch}: training loss {metrics['train_loss']:.4f}, accuracy {metrics['train_accuracy']:.4f}; "
                f"validation loss {metrics['val_loss']:.4f}, accuracy {metrics['val_accuracy']:.4f}"
            )
        version = f"pairs:{client.models.get('pairs').version}"  # the newest
        last = epochs[max(epochs)]
        print(f"{version}: test loss {last['test_loss']:.4f}, accuracy {last['test_accuracy']:.4f}")

        # Equivalent to `longshore models export pairs -o pairs.h5`.
        path = client.models.export(version, (options.folder or Path(temporary)) / "pairs.h5")
        with h5py.File(path) as file:
            parameters = list(file["parameters"].values())
            count = sum(dataset.size for dataset in parameters)
        print(f"exported to {path.name}: {count} numbers in {len(parameters)} parameters")
        imported = client.models.import_(path, "pairs-again")
        again = f"{imported.model}:{imported.version}"

        rows = data if options.path else {name: data[name][:200] for name in COLUMNS}
        before, after = (client.infer(name, rows, logits=True).wait().results() for name in (version, again))
        same = before["label"].equals(after["label"]) and before["logits"].equals(after["logits"])
        print(f"imported as {again}: same predictions for {len(before)} rows: {same}")


if __name__ == "__main__":
    main()
