"""No module imports itself through others: not under ``TYPE_CHECKING``, and not inside a function either."""

from __future__ import annotations

import ast
from collections.abc import Iterator, Mapping
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


def modules(source: str) -> dict[str, Path]:
    """Every module below a source root, by its dotted name."""
    by_name: dict[str, Path] = {}
    for path in (ROOT / source / "longshore").rglob("*.py"):
        steps = path.relative_to(ROOT / source).with_suffix("").parts
        by_name[".".join(steps[:-1] if steps[-1] == "__init__" else steps)] = path
    return by_name


def imports(path: Path, known: Mapping[str, Path]) -> Iterator[str]:
    """The known modules that a module imports, at any level."""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names if alias.name in known)
        elif isinstance(node, ast.ImportFrom):
            assert not node.level, f"{path}: relative import"
            for alias in node.names:
                submodule = f"{node.module}.{alias.name}"
                if submodule in known or node.module in known:
                    yield submodule if submodule in known else str(node.module)


def test_a_cycle_is_detected(tmp_path: Path) -> None:
    a, b = tmp_path / "a.py", tmp_path / "b.py"
    a.write_text("def later():\n    import b\n")
    b.write_text("if TYPE_CHECKING:\n    from a import later\n")
    known = {"a": a, "b": b}
    graph = {name: set(imports(path, known)) for name, path in known.items()}
    with pytest.raises(CycleError):
        TopologicalSorter(graph).prepare()


# The roots themselves are layered by import-linter, so that a cycle can only be inside one of them.
@pytest.mark.parametrize("source", ["shared", "broker", "producers", "workers"])
def test_there_are_no_import_cycles(source: str) -> None:
    known = modules(source)
    graph = {name: set(imports(path, known)) - {name} for name, path in known.items()}
    assert len(graph) > 10
    try:
        TopologicalSorter(graph).prepare()
    except CycleError as error:
        pytest.fail("import cycle: " + " -> ".join(error.args[1]))
