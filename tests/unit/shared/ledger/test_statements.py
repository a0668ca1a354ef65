"""SQL stands in ``ledger/statements`` and the migrations alone, each statement once."""

from __future__ import annotations

import ast
import importlib
import pkgutil
import re
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest

from longshore.shared.ledger import statements

ROOT = Path(__file__).parents[4]
SOURCES = ("shared", "broker", "producers", "workers", "deploy")
STATEMENTS = ROOT / "shared/longshore/shared/ledger/statements"
MIGRATIONS = ROOT / "shared/longshore/shared/ledger/migrations"
#: How a statement begins. Keywords are in capitals, as the project writes them.
SQL = re.compile(
    # SELECT (a, b) is a right to columns.
    r"\s*(WITH( RECURSIVE)? \w+|SELECT (?!\(\w+(, \w+)*\)$)|"
    r"INSERT INTO |UPDATE \w+ SET |UPDATE\s+\{|DELETE FROM |TRUNCATE |COPY [\w(]|"
    r"LOCK TABLE |(CREATE|ALTER|DROP) (TABLE|INDEX|DATABASE|ROLE)|(UN)?LISTEN |NOTIFY |EXPLAIN |ANALYZE|VACUUM|"
    r"(SET|SHOW) \w+ *(=|TO\b|$))"
)


def strings(path: Path) -> Iterator[tuple[int, str]]:
    """The line and the beginning of every string of a module that is not a docstring."""
    tree = ast.parse(path.read_text())
    docstrings = {
        id(node.body[0].value)
        for node in ast.walk(tree)
        if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef)
        and node.body
        and isinstance(node.body[0], ast.Expr)
    }
    for node in ast.walk(tree):
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and id(node) not in docstrings:
            yield node.lineno, node.value


def is_sql(text: str) -> bool:
    return SQL.match(text) is not None


@pytest.mark.parametrize(
    "text",
    [
        "SELECT 1",
        "\n    WITH locked AS (",
        "COPY jobs (id) FROM STDIN",
        "UPDATE shards SET state",
        "LISTEN longshore_jobs",
        "SET plan_cache_mode = x",
    ],
)
def test_the_scan_knows_sql(text: str) -> None:
    assert is_sql(text)


def test_there_is_no_sql_elsewhere() -> None:
    modules = [
        path
        for source in SOURCES
        for path in (ROOT / source).rglob("*.py")
        if not path.is_relative_to(STATEMENTS) and not path.is_relative_to(MIGRATIONS)
    ]
    assert len(modules) > 100, "the sources are found"
    stray = [
        f"{path.relative_to(ROOT)}:{line}: {text.strip()[:60]}"
        for path in modules
        for line, text in strings(path)
        if is_sql(text)
    ]
    assert not stray, "move these to shared/longshore/shared/ledger/statements"


def every_statement() -> dict[str, str]:
    """The whole statements, by module and name, with single spaces."""
    texts = {}
    for module in pkgutil.iter_modules(statements.__path__):
        loaded = importlib.import_module(f"{statements.__name__}.{module.name}")
        for name, value in vars(loaded).items():
            if isinstance(value, str) and is_sql(value):
                texts[f"{module.name}.{name}"] = " ".join(value.split())
    return texts


def test_each_statement_stands_once() -> None:
    every = every_statement()
    assert len(every) > 100, "the statements are found"
    named_once = {name: text for name, text in every.items() if not name.split(".")[1].startswith("_")}
    # A module may import another's constant: that is the same object under the same name.
    texts = Counter({(name.split(".")[1], text) for name, text in named_once.items()})
    repeated = [text for text, count in Counter(text for _, text in texts).items() if count > 1]
    assert not repeated


def test_the_fence_stands_once() -> None:
    sources = {path.name: path.read_text() for path in STATEMENTS.glob("*.py")}
    assert [name for name, text in sources.items() if "index = %(shard)s AND attempt = %(attempt)s" in text] == [
        "fence.py"
    ]
