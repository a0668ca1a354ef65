"""The examples run as a new user would run them, and print what they demonstrate."""

from __future__ import annotations

import csv
import re
import subprocess
import sys
from pathlib import Path

import h5py
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from tests.images import encoded, write_folder
from tests.integration.cluster import Cluster
from tests.topics import make_texts
from tests.waiting import TIMEOUT_S

pytestmark = pytest.mark.slow

EXAMPLES = Path(__file__).parents[3] / "examples"


def run(cluster: Cluster, name: str, *options: object) -> str:
    """What an example prints."""
    done = subprocess.run(
        [sys.executable, str(EXAMPLES / f"{name}.py"), *map(str, options)],
        env=cluster.environment,
        cwd=cluster.folder,
        capture_output=True,
        text=True,
        check=False,
        timeout=TIMEOUT_S,
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
    assert re.search(r"loaded as ten-again:\d+: same predictions: True", said)
    assert sorted(path.name for path in (tmp_path / "ten").iterdir()) == ["manifest.json", "weights.safetensors"]


def test_text_classification(cluster: Cluster, tmp_path: Path) -> None:
    path = tmp_path / "news.csv"
    with path.open("w", newline="") as file:
        csv.writer(file).writerows(
            [label, f"Today: {text[:9]}", text] for text, label in zip(*make_texts(360), strict=True)
        )
    said = run(cluster, "text_classification", path, "--epochs", 6, "--hidden-size", 16, "--learning-rate", 0.01)
    epochs = re.findall(r"^epoch \d+: training loss \S+, validation loss \S+, accuracy \S+$", said, re.MULTILINE)
    assert len(epochs) == 6
    [accuracy] = numbers(said, r"news:\d+: test accuracy (\S+)")
    assert accuracy >= 0.9
    predicted = re.findall(r"^'Today: .*' has class (food|sea|sky) \(\d\.\d\d\)$", said, re.MULTILINE)
    assert len(predicted) == 2


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
    count, apart = numbers(
        said, r"ONNX Runtime on (\d+) images: outputs differ from those of Longshore by at most (\S+)$"
    )
    assert count >= 20
    assert apart < 1e-4


def test_transformer_classification(cluster: Cluster, tmp_path: Path) -> None:
    said = run(cluster, "transformer_classification", "--rows", 4000, "--epochs", 12, "--folder", tmp_path)
    epochs = re.findall(
        r"^epoch \d+: training loss (\S+), accuracy (\S+); validation loss (\S+), accuracy (\S+)$", said, re.MULTILINE
    )
    assert len(epochs) == 12
    first, last = ([float(number) for number in epochs[place]] for place in (0, -1))
    assert last[0] < 0.5 * first[0]
    assert last[2] < 0.5 * first[2]
    assert min(last[1], last[3]) >= 0.95
    [accuracy] = numbers(said, r"pairs:\d+: test loss \S+, accuracy (\S+)")
    assert accuracy >= 0.95
    written, count = numbers(said, r"exported to pairs\.h5: (\d+) numbers in (\d+) parameters")
    with h5py.File(tmp_path / "pairs.h5") as file:
        datasets = list(file["parameters"].values())
        assert (sum(each.size for each in datasets), len(datasets)) == (written, count)
    assert re.search(r"imported as pairs-again:\d+: same predictions for 200 rows: True", said)


def test_transformer_classification_of_a_file(cluster: Cluster, tmp_path: Path) -> None:
    rows = {
        "input_ids": [[1, 3 + n % 5, 2, 3 + n % 4, 2, 0] for n in range(60)],
        "attention_mask": [[1, 1, 1, 1, 1, 0]] * 60,
        "token_type_ids": [[0, 0, 0, 1, 1, 0]] * 60,
        "label": ["same" if n % 5 == n % 4 else "other" for n in range(60)],
    }
    pq.write_table(pa.table(rows), tmp_path / "pairs.parquet")
    said = run(*(cluster, "transformer_classification", tmp_path / "pairs.parquet"), "--vocabulary", 8, "--epochs", 1)
    assert re.search(r"imported as pairs-again:\d+: same predictions for 60 rows: True", said)


def test_language_model_and_adapter(cluster: Cluster, tmp_path: Path) -> None:
    topics, labels = make_texts(240)
    path = tmp_path / "texts.txt"
    path.write_text("\n\n".join(f"{text}\nClass: {label}" for text, label in zip(topics, labels, strict=True)))
    small = ("--layers", 2, "--width", 64, "--context", 64, "--vocabulary", 400, "--learning-rate", 0.005)
    said = run(cluster, "language_model", path, *small, "--epochs", 6, "--prompt", topics[0][:10])
    perplexities = [float(each) for each in re.findall(r"^epoch \d+: perplexity .* (\S+)$", said, re.MULTILINE)]
    assert len(perplexities) == 6
    assert perplexities[-1] < 0.5 * perplexities[0]
    assert re.search(rf"^tales:\d+ writes: {re.escape(topics[0][:10])}", said, re.MULTILINE)
    (tmp_path / "lines.txt").write_text("\n".join(topics))
    (tmp_path / "files").mkdir()
    for number in range(20):  # a tenth of them is held out
        (tmp_path / f"files/{number}.txt").write_text(topics[number])
    more = ("--epochs", 1, "--name", "lines", "--prompt", "Today")
    said = run(cluster, "language_model", tmp_path / "lines.txt", *small, *more, "--documents", "lines")
    assert "lines:1 writes: Today" in said
    assert "lines:2 writes: Today" in run(cluster, "language_model", tmp_path / "files", *small, *more)
    table = tmp_path / "news.csv"
    with table.open("w", newline="") as file:
        csv.writer(file).writerows([label, text, text] for text, label in zip(topics, labels, strict=True))
    said = run(cluster, "adapt", table, "--epochs", 8, "--learning-rate", 0.01)
    losses = [float(each) for each in re.findall(r"^epoch \d+: loss of held-out answers (\S+)$", said, re.MULTILINE)]
    assert losses[-1] < losses[0]
    [right] = numbers(said, r"news-answers:\d+: (\d+) of 24 answers are right")
    assert right >= 18
