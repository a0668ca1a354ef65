"""The messages that the page about errors explains are those of the code."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator

import pytest

from tests.compose_file import ROOT

PAGE = (ROOT / "docs" / "how-to" / "troubleshooting.md").read_text()
#: What a message has in the place of a name or a number.
VARIES = "…"
#: The first cell of a row of a table, and what is quoted in it.
CELLS = [line.split(" | ")[0] for line in PAGE.splitlines() if line.startswith("| `")]
MESSAGES = [message for cell in CELLS for message in re.findall(r"`([^`]+)`", cell)]


def text(node: ast.expr) -> str:
    """A string of the code, with :data:`VARIES` for each value in it."""
    match node:
        case ast.Constant(value=str(value)):
            return value
        case ast.JoinedStr(values=values):
            return "".join(text(value) for value in values)
        case _:
            return VARIES


def strings() -> Iterator[str]:
    """Every string of the sources."""
    for folder in ("shared", "broker", "producers", "workers"):
        for path in (ROOT / folder).rglob("*.py"):
            for node in ast.walk(ast.parse(path.read_text())):
                if isinstance(node, ast.Constant | ast.JoinedStr):
                    yield text(node)


@pytest.fixture(scope="module")
def code() -> set[str]:
    return set(strings())


@pytest.mark.parametrize("message", MESSAGES)
def test_a_message_is_in_the_code(message: str, code: set[str]) -> None:
    parts = [part.strip() for part in message.split(VARIES) if part.strip()]
    pattern = re.compile(".*".join(map(re.escape, parts)), re.DOTALL)
    assert any(parts[0] in said and pattern.search(said) for said in code), f"no source says {message!r}"


def test_the_page_has_many_messages() -> None:
    assert len(MESSAGES) == len(set(MESSAGES)) > 60
