"""The examples run from their files, as a new user would run them, and print what they are to show."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

from tests.images import encoded, write_folder
from tests.integration.cluster import Cluster

EXAMPLES = Path(__file__).parents[2] / "examples"
#: Seconds for one of them, on small sizes.
PATIENCE = 300.0


def run(cluster: Cluster, name: str, *options: object) -> str:
    """What an example prints."""
    done = subprocess.run(
        [sys.executable, str(EXAMPLES / f"{name}.py"), *map(str, options)],
        env=cluster.environment,
        cwd=cluster.folder,
        capture_output=True,
        text=True,
        check=False,
        timeout=PATIENCE,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def numbers(text: str, pattern: str) -> list[float]:
    """The numbers in the groups of a pattern that must be in ``text``."""
    found = re.search(pattern, text)
    assert found is not None, text
    return [float(group) for group in found.groups()]


def test_linear_regression(cluster: Cluster) -> None:
    said = run(cluster, "linear_regression", "--points", 200, "--steps", 150)
    slope, intercept = numbers(said, r"learned: y = (\S+) x \+ (\S+)")
    assert abs(slope - 3) < 0.05
    assert abs(intercept - 2) < 0.05
    [at_ten] = numbers(said, r"x = 10 gives y = (\S+)")
    assert abs(at_ten - 32) < 0.5


def test_mlp_regression(cluster: Cluster, tmp_path: Path) -> None:
    said = run(cluster, "mlp_regression", "--rows", 1500, "--epochs", 40, "--folder", tmp_path)
    error, quality = numbers(said, r"test mse = (\S+), test r2 = (\S+)")
    assert error < 0.02
    assert quality > 0.9
    assert "saved: manifest.json, weights.safetensors" in said
    assert re.search(r"loaded as ten-again:\d+: the same predictions: True", said)
    assert sorted(path.name for path in (tmp_path / "ten").iterdir()) == ["manifest.json", "weights.safetensors"]


def test_image_classification(cluster: Cluster, tmp_path: Path) -> None:
    shades = {"dark": 30, "light": 190}
    files = {
        f"{name}/{n:02}.jpg": encoded(shade + n, "jpeg", (20, 16)) for name, shade in shades.items() for n in range(40)
    }
    folder = write_folder(tmp_path / "images", files)
    said = run(cluster, "image_classification", folder, "--size", 16, "--epochs", 12, "--batch-size", 8)
    epochs = re.findall(r"^epoch \d+: training loss \S+, validation loss \S+, accuracy \S+$", said, re.MULTILINE)
    assert len(epochs) == 12
    [accuracy] = numbers(said, r"images:\d+: test accuracy (\S+)")
    assert accuracy >= 0.9
    count, apart = numbers(said, r"ONNX Runtime on (\d+) images: outputs at most (\S+) apart")
    assert count >= 20
    assert apart < 1e-4
