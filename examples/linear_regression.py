"""Linear regression by gradient descent: learn slope and intercept of y = 3x + 2 from noisy points.

Start a cluster with `longshore up`, then run `python examples/linear_regression.py` in another terminal.
"""

from __future__ import annotations

import argparse
import tempfile
from pathlib import Path

import numpy as np
from safetensors.numpy import load_file

from longshore.producers import Client


def main() -> None:
    parser = argparse.ArgumentParser(description="Learn y = 3x + 2 from noisy points by gradient descent.")
    parser.add_argument("--points", type=int, default=1000, help="number of points")
    parser.add_argument("--noise", type=float, default=0.1, help="standard deviation of the noise")
    parser.add_argument("--steps", type=int, default=200, help="number of gradient descent steps")
    parser.add_argument("--learning-rate", type=float, default=0.1)
    options = parser.parse_args()

    rng = np.random.default_rng(0)
    x = rng.uniform(-2, 2, options.points)
    points = {"x": x, "y": 3 * x + 2 + rng.normal(0, options.noise, options.points)}

    with Client() as client:
        client.train(
            "line",
            family="linear",
            data=points,
            target="y",
            optimizer="sgd",
            learning_rate=options.learning_rate,
            batch_size=options.points,  # full batches: every epoch is one step
            epochs=options.steps,
            validation=0,
            standardize=False,  # keep the scale of x, so that the weights are slope and intercept
        ).wait()
        version = client.models.get("line").version  # the newest
        with tempfile.TemporaryDirectory() as temporary:
            folder = client.models.export(f"line:{version}", Path(temporary) / "line")
            weights = load_file(folder / "weights.safetensors")
        slope, intercept = weights["network.weight"].item(), weights["network.bias"].item()
        print(f"learned: y = {slope:.3f} x + {intercept:.3f}")

        predictions = client.infer(f"line:{version}", {"x": [0.0, 1.0, 10.0]}).wait().results()
        for x_value, prediction in zip((0, 1, 10), predictions["value"].to_pylist(), strict=True):
            print(f"predicted: x = {x_value} gives y = {prediction:.2f}")


if __name__ == "__main__":
    main()
