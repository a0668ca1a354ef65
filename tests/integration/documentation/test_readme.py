"""The README's example runs as it is written there, and prints what it says."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests.integration.cluster import Cluster

README = Path(__file__).parents[3] / "README.md"


def test_the_example_prints_what_the_readme_shows(cluster: Cluster) -> None:
    text = README.read_text()
    example = re.findall(r"```python\n(.*?)```", text, re.DOTALL)
    assert len(example) == 1
    shown = ast.literal_eval(re.findall(r"^    (\[\{.*\}\])$", text, re.MULTILINE)[0])
    done = subprocess.run(
        [sys.executable, "-c", example[0]], env=cluster.environment, capture_output=True, text=True, timeout=200
    )
    assert done.returncode == 0, done.stderr
    accuracy, results = done.stdout.splitlines()
    assert re.search(r"^    0\.\d+$", text, re.MULTILINE)
    assert float(accuracy) >= 0.95
    for row, expected in zip(ast.literal_eval(results), shown, strict=True):
        assert (row["row"], row["label"]) == (expected["row"], expected["label"])
        assert row["score"] == pytest.approx(expected["score"], abs=0.02)
