"""Whether two sequences of tokens have any word in common: a transformer that classifies rows of input_ids,
attention_mask and token_type_ids, as a tokenizer makes them of pairs of texts. Its parameters are then written to HDF5,
read back, and predict the same.

Start a cluster with `longshore up`, then run `python examples/transformer_classification.py` in another terminal. With
a path it learns from a file of your own (Parquet, JSON Lines, ...), with these three columns of lists and `label`.
"""

from __future__ import annotations

import argparse
import tempfile
from pathlib import Path

import h5py
import numpy as np

from longshore.producers import Client

#: Ids that are no words: what fills up a row, what begins it, and what ends each of its two sequences.
PADDING, BEGIN, END = 0, 1, 2
FIRST_WORD = 3
COLUMNS = ["input_ids", "attention_mask", "token_type_ids"]


def make_rows(count: int, words: int, longest: int, seed: int = 0) -> dict[str, list[object]]:
    """Pairs of sequences of 2 to ``longest`` different words, half of which share one or more, padded to one length."""
    draw = np.random.default_rng(seed)
    length = 2 * longest + 3
    rows: dict[str, list[object]] = {name: [] for name in [*COLUMNS, "label"]}
    for number in range(count):
        sizes = draw.integers(2, longest + 1, 2)
        both = FIRST_WORD + draw.permutation(words)[: sizes.sum()]
        first, second = both[: sizes[0]], both[sizes[0] :]
        if number % 2:
            second[draw.integers(len(second))] = first[draw.integers(len(first))]
        ids = [BEGIN, *first.tolist(), END, *second.tolist(), END]
        missing = length - len(ids)
        rows["input_ids"].append(ids + [PADDING] * missing)
        rows["attention_mask"].append([1] * len(ids) + [0] * missing)
        rows["token_type_ids"].append([0] * (len(first) + 2) + [1] * (len(second) + 1) + [0] * missing)
        rows["label"].append("related" if number % 2 else "unrelated")
    return rows


def main() -> None:
    parser = argparse.ArgumentParser(description="Learn by a transformer whether two sequences belong together.")
    parser.add_argument("path", nargs="?", help="rows of your own; default: made ones")
    parser.add_argument("--rows", type=int, default=6000, help="of those that are made")
    parser.add_argument("--words", type=int, default=12, help="of their vocabulary")
    parser.add_argument("--longest", type=int, default=3, help="words in a sequence, at most")
    parser.add_argument("--vocabulary", type=int, help="ids that there are; of made rows it is known")
    parser.add_argument("--epochs", type=int, default=12)
    parser.add_argument("--folder", type=Path, help="where to write the parameters; default: a temporary one")
    options = parser.parse_args()
    if options.path and not options.vocabulary:
        parser.error("--vocabulary is needed with rows of your own: the number of ids of their tokenizer")
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
        steps: dict[int, dict[str, float]] = {}
        for metric in job.metrics():
            if metric.name.startswith("step/"):
                continue  # once a second, by step and not by epoch
            steps.setdefault(metric.step, {})[metric.name] = metric.value
        for epoch, found in steps.items():
            print(
                f"epoch {epoch}: training loss {found['train_loss']:.4f}, accuracy {found['train_accuracy']:.4f}; "
                f"validation loss {found['val_loss']:.4f}, accuracy {found['val_accuracy']:.4f}"
            )
        version = f"pairs:{client.models.get('pairs').version}"  # the newest
        last = steps[max(steps)]
        print(f"{version}: test loss {last['test_loss']:.4f}, accuracy {last['test_accuracy']:.4f}")

        # The same as `longshore models export pairs -o pairs.h5`.
        path = client.models.export(version, (options.folder or Path(temporary)) / "pairs.h5")
        with h5py.File(path) as file:
            parameters = list(file["parameters"].values())
            numbers = sum(dataset.size for dataset in parameters)
        print(f"written to {path.name}: {numbers} numbers in {len(parameters)} parameters")
        read = client.models.import_(path, "pairs-again")
        again = f"{read.model}:{read.version}"

        rows = data if options.path else {name: data[name][:200] for name in COLUMNS}
        before, after = (client.infer(name, rows, logits=True).wait().results() for name in (version, again))
        same = before["label"].equals(after["label"]) and before["logits"].equals(after["logits"])
        print(f"read as {again}: the same predictions of {len(before)} rows: {same}")


if __name__ == "__main__":
    main()
