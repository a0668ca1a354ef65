"""The tutorial's commands and programs run one after the other in a home of their own, as a new user would run them."""

from __future__ import annotations

import re
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from longshore.producers import Client
from tests.integration.command_line import CommandLine, read_until, stop
from tests.integration.documentation.pages import ROOT, Reader, blocks
from tests.integration.homes import folder_for_homes

pytestmark = pytest.mark.slow

UP = "longshore up\n"


@contextmanager
def first_terminal(reader: Reader) -> Iterator[subprocess.Popen[str]]:
    """``longshore up``, until Ctrl-C."""
    with CommandLine(reader.environment).start("up") as process:
        try:
            read_until(process.stdout, "Longshore is up.")
            yield process
        finally:
            done = stop(process)
    assert done.code == 0, done.err


def test_the_tutorial_ends_with_the_better_version_in_production(tmp_path: Path) -> None:
    install, up, *steps = blocks("tutorial.md")
    assert up.text == UP
    with folder_for_homes() as folder:
        reader = Reader(folder / "home", tmp_path)
        with first_terminal(reader):
            for block in steps:
                reader.run(block)
            with Client(home=reader.home) as client:
                assert client.models.get("digits@production").version == 2
    # What the page says of installing is what the README says.
    [readme] = re.findall(r"^    (pip install .*) && longshore demo$", (ROOT / "README.md").read_text(), re.MULTILINE)
    assert install.text == f"{readme}\n"
