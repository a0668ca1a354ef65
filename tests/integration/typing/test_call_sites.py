"""Both type checkers accept the calls in ``accepted.py`` and reject every marked line of ``rejected.py``."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path

FOLDER = Path(__file__).parent
ROOT = FOLDER.parents[2]
MARK = "# rejected"


def marked_lines() -> set[int]:
    lines = (FOLDER / "rejected.py").read_text().splitlines()
    return {number for number, line in enumerate(lines, 1) if line.endswith(MARK)}


def errors_of_mypy() -> set[tuple[str, int]]:
    """With the settings of the whole tree, so that both share a cache."""
    files = [str((FOLDER / name).relative_to(ROOT)) for name in ("accepted.py", "rejected.py")]
    done = subprocess.run(
        [sys.executable, "-m", "mypy", "--no-error-summary", *files],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    found = re.findall(r"^(\S+?):(\d+): error:", done.stdout, re.MULTILINE)
    assert done.returncode == 1, done.stdout + done.stderr
    return {(Path(path).name, int(line)) for path, line in found if path in files}


def errors_of_pyright() -> set[tuple[str, int]]:
    """By basedpyright, which is pyright with a Node.js of its own, so that pip alone installs it."""
    done = subprocess.run(
        [sys.executable, "-m", "basedpyright", "--outputjson", "--project", str(FOLDER / "pyrightconfig.json")],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    found = json.loads(done.stdout)["generalDiagnostics"]
    return {
        (Path(each["file"]).name, each["range"]["start"]["line"] + 1) for each in found if each["severity"] == "error"
    }


def test_mypy_accepts_and_rejects() -> None:
    assert errors_of_mypy() == {("rejected.py", line) for line in marked_lines()}


def test_pyright_accepts_and_rejects() -> None:
    assert errors_of_pyright() == {("rejected.py", line) for line in marked_lines()}
