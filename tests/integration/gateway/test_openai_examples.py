"""The programs of the documentation that use OpenAI's packages, in Python and in JavaScript."""

from __future__ import annotations

import fcntl
import re
import shutil
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Final

import platformdirs
import pytest

from longshore.producers import Client
from tests.integration.documentation.pages import DOCS, fences
from tests.integration.gateway_beside import RunningGateway
from tests.language_models import save_model_that_says
from tests.text_models import save_sentence
from tests.waiting import TIMEOUT_S

#: The newest version of the package of npm that runs on Node.js 20.
PACKAGE: Final = "openai@6.30.1"
ANSWER: Final = "rain on the roof"
#: Numbers of an embedding.
WIDTH: Final = "16"


@pytest.fixture(scope="module", autouse=True)
def models(client: Client, tmp_path_factory: pytest.TempPathFactory) -> None:
    folder = tmp_path_factory.mktemp("models")
    save_model_that_says(folder / "chat", ANSWER)
    client.models.import_(folder / "chat", "chat", alias="production")
    save_sentence(folder / "encoder")
    client.models.import_(folder / "encoder", "encoder")


def program(language: str, gateway: RunningGateway) -> str:
    """The program of the page that uses OpenAI's package, which calls this gateway."""
    programs = fences(DOCS / "how-to/http.md", language)
    [text] = [text for text in programs if "OpenAI" in text and "http://127.0.0.1:8080" in text]
    return text.replace("http://127.0.0.1:8080", gateway.url).replace("lsk_...", gateway.token())


def run(command: Sequence[str | Path], folder: Path) -> list[str]:
    """The lines that a program prints."""
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=TIMEOUT_S)
    assert done.returncode == 0, done.stderr
    return done.stdout.splitlines()


def test_in_python(gateway: RunningGateway, tmp_path: Path) -> None:
    answer, parsed, *rest = run([sys.executable, "-c", program("python", gateway)], tmp_path)
    assert (answer, rest) == (ANSWER, [ANSWER, WIDTH])
    assert re.fullmatch(r"topic='(invoice|complaint|other)' is_urgent=(True|False)", parsed)


@pytest.mark.skipif(shutil.which("node") is None, reason="needs Node.js")
def test_in_javascript(gateway: RunningGateway, tmp_path: Path) -> None:
    (tmp_path / "node_modules").symlink_to(node_modules())
    script = tmp_path / "chat.mjs"
    script.write_text(program("js", gateway))
    assert run(["node", script], tmp_path) == [ANSWER, ANSWER, WIDTH]


def node_modules() -> Path:
    """The folder with the package, which is installed once."""
    root = Path(platformdirs.user_cache_dir("longshore-tests", ensure_exists=True))
    folder = root / PACKAGE.replace("@", "-")
    with (root / "npm.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)  # other processes of the test run wait for the first
        if not (folder / "complete").exists():
            options = ["--ignore-scripts", "--no-audit", "--no-fund", "--no-save", "--prefix", str(folder)]
            folder.mkdir(exist_ok=True)
            done = subprocess.run(["npm", "install", *options, PACKAGE], capture_output=True, text=True, timeout=300)
            assert done.returncode == 0, done.stderr
            (folder / "complete").touch()
    return folder / "node_modules"
