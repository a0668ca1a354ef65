"""Linear regression by gradient descent: learns the two numbers of y = 3x + 2 from noisy points.

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
    parser = argparse.ArgumentParser(description="Learn y = 3x + 2 from noisy points, by gradient descent.")
    parser.add_argument("--points", type=int, default=1000)
    parser.add_argument("--noise", type=float, default=0.1, help="its standard deviation")
    parser.add_argument("--steps", type=int, default=200, help="of gradient descent")
    parser.add_argument("--learning-rate", type=float, default=0.1)
    options = parser.parse_args()

    draw = np.random.default_rng(0)
    x = draw.uniform(-2, 2, options.points)
    points = {"x": x, "y": 3 * x + 2 + draw.normal(0, options.noise, options.points)}

    with Client() as client:
        client.train(
            "line",
            family="linear",
            data=points,
            target="y",
            optimizer="sgd",
            learning_rate=options.learning_rate,
            batch_size=options.points,  # every step sees all points, and so every epoch is a step
            epochs=options.steps,
            validation=0,
            standardize=False,  # x as it is, so that the weights can be read as they are
        ).wait()
        version = client.models.get("line").version  # the newest
        with tempfile.TemporaryDirectory() as temporary:
            folder = client.models.export(f"line:{version}", Path(temporary) / "line")
            learned = load_file(folder / "weights.safetensors")
        slope, intercept = learned["network.weight"].item(), learned["network.bias"].item()
        print(f"learned: y = {slope:.3f} x + {intercept:.3f}")

        predicted = client.infer(f"line:{version}", {"x": [0.0, 1.0, 10.0]}).wait().results()
        for at, value in zip((0, 1, 10), predicted["value"].to_pylist(), strict=True):
            print(f"predicted: x = {at} gives y = {value:.2f}")


if __name__ == "__main__":
    main()
