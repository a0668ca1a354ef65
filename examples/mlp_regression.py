"""A network with 10 inputs, 20 hidden units and 10 outputs: train it with Adam on the mean squared error, save it to a
folder, load it from there as another model, and run both.

Start a cluster with `longshore up`, then run `python examples/mlp_regression.py` in another terminal.
"""

from __future__ import annotations

import argparse
import tempfile
from pathlib import Path

import numpy as np

from longshore.producers import Client


def main() -> None:
    parser = argparse.ArgumentParser(description="Train, save, load and use a 10-20-10 network.")
    parser.add_argument("--rows", type=int, default=4000)
    parser.add_argument("--epochs", type=int, default=60)
    parser.add_argument("--folder", type=Path, help="folder to save the model in; default: a temporary folder")
    options = parser.parse_args()

    # The functions to learn: ten smooth functions of ten numbers.
    rng = np.random.default_rng(0)
    mixing_matrix = rng.normal(0, 0.4, (10, 10))
    inputs = rng.normal(size=(options.rows, 10))
    outputs = np.tanh(inputs @ mixing_matrix)

    with Client() as client, tempfile.TemporaryDirectory() as temporary:
        job = client.train(
            "ten",
            family="mlp",
            data={"inputs": inputs, "outputs": outputs},  # a column of lists of ten numbers each
            target="outputs",
            config={"hidden": [20], "activation": "tanh"},
            optimizer="adam",
            learning_rate=0.01,
            epochs=options.epochs,
            test=0.1,
        ).wait()
        trained = f"ten:{client.models.get('ten').version}"  # the newest
        metrics = {metric.name: metric.value for metric in job.metrics()}
        print(f"trained {trained}: test mse = {metrics['test_loss']:.4f}, test r2 = {metrics['test_r2']:.3f}")

        saved = client.models.export(trained, (options.folder or Path(temporary)) / "ten")
        print(f"saved: {', '.join(sorted(path.name for path in saved.iterdir()))}")

        loaded = client.models.import_(saved, "ten-again")
        again = f"{loaded.model}:{loaded.version}"
        before, after = (
            np.array(client.infer(name, {"inputs": inputs[:100]}).wait().results()["value"].to_pylist())
            for name in (trained, again)
        )
        print(f"loaded as {again}: same predictions: {np.array_equal(before, after)}")
        print(f"target:    {np.array2string(outputs[0], precision=2)}")
        print(f"predicted: {np.array2string(after[0], precision=2)}")


if __name__ == "__main__":
    main()
