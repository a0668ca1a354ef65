"""The tutorial's commands and programs run one after the other, as a new user would run them."""

from __future__ import annotations

import re
import shlex
import subprocess
import sys
from pathlib import Path

from longshore.producers import Client
from tests.integration.cluster import Cluster
from tests.integration.command_line import PROGRAM

TUTORIAL = Path(__file__).parents[3] / "docs" / "tutorial.md"
STEP_TIMEOUT_S = 200


def steps() -> list[list[str]]:
    """The command lines of the tutorial, from the point at which the cluster is up."""
    commands: list[list[str]] = []
    for language, block in re.findall(r"^```(sh|python)\n(.*?)^```$", TUTORIAL.read_text(), re.DOTALL | re.MULTILINE):
        if language == "python":
            commands.append([sys.executable, "-c", block])
        else:
            commands += [[*PROGRAM, *words[1:]] for words in map(shlex.split, block.splitlines()) if words[0] != "pip"]
    start = commands.index([*PROGRAM, "up"])
    return commands[start + 1 :]


def test_the_tutorial_ends_with_the_better_version_in_production(
    cluster: Cluster, client: Client, tmp_path: Path
) -> None:
    printed = []
    for command in steps():
        done = subprocess.run(
            command, env=cluster.environment, cwd=tmp_path, capture_output=True, text=True, timeout=STEP_TIMEOUT_S
        )
        assert done.returncode == 0, f"{command}: {done.stderr}"
        printed.append(done.stdout)
    first_row = re.search(r"^\[\{'row': 0, 'label': (\d)", TUTORIAL.read_text(), re.MULTILINE)
    assert first_row is not None
    assert any(output.startswith(f"[{{'row': 0, 'label': {first_row[1]}") for output in printed)
    assert "train succeeded\nevaluate succeeded\npromote succeeded\n" in printed
    assert client.models.get("digits@production").version == 2
