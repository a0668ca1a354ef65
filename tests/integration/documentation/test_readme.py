"""The README's example runs as it is written there, and prints what it says, each time."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

from tests.integration.cluster import Cluster

README = Path(__file__).parents[3] / "README.md"


def test_the_example_prints_what_the_readme_shows(cluster: Cluster) -> None:
    text = README.read_text()
    example = re.findall(r"```python\n(.*?)```", text, re.DOTALL)
    assert len(example) == 1
    shown = re.findall(r"It prints .*:\n\n((?:    .*\n)+)", text)[0].replace("    ", "")
    for _ in range(2):
        done = subprocess.run(
            [sys.executable, "-c", example[0]], env=cluster.environment, capture_output=True, text=True, timeout=200
        )
        assert done.returncode == 0, done.stderr
        assert done.stdout == shown
