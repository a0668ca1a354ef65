"""The code blocks of a page, run as a reader would run them."""

from __future__ import annotations

import re
import subprocess
import sys
from collections.abc import Iterator
from itertools import zip_longest
from pathlib import Path
from typing import NamedTuple

from tests.integration.command_line import without_settings

ROOT = Path(__file__).parents[3]
DOCS = ROOT / "docs"
#: The languages of blocks that are run.
RUN = ("sh", "python", "sql")
#: Seconds: a block can start and stop a cluster several times.
BLOCK_TIMEOUT_S = 600.0
#: How far a number may be from the shown one: a part of it. Processors round differently.
TOLERANCE = 0.05

_FENCE = re.compile(r"^```(\w*)\n(.*?)^```$", re.DOTALL | re.MULTILINE)
#: What differs from run to run: ids, and durations such as ``4.3s``.
_CHANGES = re.compile(r"\b[0-9a-f]{8}-[0-9a-f-]{4,27}\b|\b\d[\d.]*(?:ms|s|m|h)\b")
_NUMBER = re.compile(r"(?<![\w.])-?\d+(?:\.\d+)?(?![\w])")


class Block(NamedTuple):
    """A fenced block of a page.

    :param printed: the block without a language after it: what it prints. ``None`` if the page does not show that; a
        block of the language ``text`` is only an example.
    """

    language: str
    text: str
    printed: str | None


def blocks(page: str) -> Iterator[Block]:
    """The blocks of a page that are run, in order.

    :param page: its path below ``docs/``.
    """
    fences = _FENCE.findall((DOCS / page).read_text())
    for (language, text), following in zip_longest(fences, fences[1:]):
        if language in RUN:
            yield Block(language, text, following[1] if following is not None and following[0] == "" else None)


def fences(page: Path, language: str) -> list[str]:
    """The blocks of a page in one language."""
    return [text for name, text in _FENCE.findall(page.read_text()) if name == language]


class Reader:
    """Somebody who follows a page in one shell: what a block exports is there for the next ones.

    :param home: the home of their cluster.
    :param folder: where they work.
    """

    def __init__(self, home: Path, folder: Path) -> None:
        self.home = home
        self.folder = folder
        programs = Path(sys.executable).parent
        inherited = without_settings()
        self.environment = {
            **inherited,
            "LONGSHORE_HOME": str(home),
            "PATH": f"{programs}:{inherited['PATH']}",
            "PYTHONUNBUFFERED": "1",
        }
        self._exported = folder / ".exported"

    def run(self, block: Block) -> str:
        """Run a block, and compare what it prints with what the page shows. Returns what it prints."""
        if block.language == "python":
            command = [sys.executable, "-c", block.text]
        else:
            before = f"source {self._exported}\n" if self._exported.exists() else ""
            command = ["bash", "-euo", "pipefail", "-c", f"{before}{block.text}\nexport -p > {self._exported}"]
        done = subprocess.run(
            command,
            env=self.environment,
            cwd=self.folder,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            check=False,
            timeout=BLOCK_TIMEOUT_S,
        )
        assert done.returncode == 0, f"{block.text}\nended with {done.returncode}:\n{done.stdout}{done.stderr}"
        if block.printed is not None:
            compare(done.stdout, block.printed)
        return done.stdout


def compare(printed: str, shown: str) -> None:
    """Compare what was printed with what a page shows: the words are equal, and the numbers close to each other."""
    got, expected = _CHANGES.sub("...", printed), _CHANGES.sub("...", shown)
    words = [" ".join(_NUMBER.sub("#", text).split()) for text in (got, expected)]
    assert words[0] == words[1], f"printed:\n{printed}\nshown:\n{shown}"
    for a, b in zip(_NUMBER.findall(got), _NUMBER.findall(expected), strict=True):
        assert abs(float(a) - float(b)) <= max(TOLERANCE * abs(float(b)), TOLERANCE), f"{a}, and the page shows {b}"
