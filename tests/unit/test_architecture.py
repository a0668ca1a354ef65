"""The architecture: no import cycles, folders of a readable size, one name for one class, and the glossary's words.

What import-linter can state stands in pyproject.toml; `make lint` checks it.
"""

from __future__ import annotations

import ast
import re
import statistics
from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping
from functools import cache
from pathlib import Path

from tests.compose_file import ROOT

#: Folder of a part -> the package that is imported from it.
PARTS = ("shared", "broker", "producers", "workers")
#: Folders of Python sources that are not tests.
SOURCE_FOLDERS = (*PARTS, "benchmarks", "deploy", "examples")

MAX_FILES_PER_FOLDER = 20
MAX_MEDIAN_FILES = 12

#: Names that the glossary replaces by words that say what the value is.
VAGUE_NAMES = frozenset({"found", "given", "told", "held", "kept", "asked", "wanted"})
MAX_VAGUE_NAMES_PER_1000_LINES = 10.0

#: Words of earlier releases, which the glossary renames.
REMOVED_WORDS = re.compile(r"\b(company|companies|telling|wakes|residents|upkeep)\b", re.IGNORECASE)
#: Where a removed word must stand: the file, and the words in it.
_MIGRATIONS = "shared/longshore/shared/ledger/migrations/versions"
REMOVED_WORDS_ALLOWED: Mapping[str, frozenset[str]] = {
    # Released migrations make the columns under their old names, and one renames them.
    f"{_MIGRATIONS}/0002_inference.py": frozenset({"company"}),
    f"{_MIGRATIONS}/0005_company_order.py": frozenset({"company"}),
    f"{_MIGRATIONS}/0009_names.py": frozenset({"company"}),
    # The tables of renamed columns, for users who query them.
    "CHANGELOG.md": frozenset({"company"}),
    "docs/glossary.md": frozenset({"company"}),
    # Asserts that the old names are gone.
    "tests/integration/previous_release/test_previous_release.py": frozenset({"company"}),
    # The list itself.
    "tests/unit/test_architecture.py": frozenset({"company", "companies", "telling", "wakes", "residents", "upkeep"}),
}

#: Class names that are defined more than once, and why.
DUPLICATE_CLASSES_ALLOWED: Mapping[str, str] = {}


@cache
def project_files() -> tuple[Path, ...]:
    """The Python files and Markdown pages of the repository."""
    folders = [ROOT / name for name in (*SOURCE_FOLDERS, "tests", "docs")]
    paths = [*ROOT.iterdir(), *(path for folder in folders for path in folder.rglob("*"))]
    return tuple(sorted(path for path in paths if path.suffix in (".py", ".md")))


@cache
def source_files() -> tuple[Path, ...]:
    """The Python files that are not tests."""
    return tuple(
        path for path in project_files() if path.suffix == ".py" and path.relative_to(ROOT).parts[0] in SOURCE_FOLDERS
    )


@cache
def parse(path: Path) -> ast.Module:
    """The syntax tree of a file."""
    return ast.parse(path.read_text(), filename=str(path))


def modules() -> dict[str, Path]:
    """The modules of the package ``longshore``, with their files."""
    files: dict[str, Path] = {}
    for path in source_files():
        part = path.relative_to(ROOT).parts[0]
        if part in PARTS:
            names = path.relative_to(ROOT / part).with_suffix("").parts
            files[".".join(names[:-1] if names[-1] == "__init__" else names)] = path
    return files


def imports(name: str, path: Path, known: Mapping[str, Path]) -> Iterator[str]:
    """The modules of ``known`` that a module imports, anywhere in the file: also in functions and for types only."""
    package = name if path.name == "__init__.py" else name.rpartition(".")[0]
    for node in ast.walk(parse(path)):
        if isinstance(node, ast.Import):
            targets = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            base = node.module or ""
            if node.level:
                parents = package.split(".")
                base = ".".join([*parents[: len(parents) - node.level + 1], *([base] if base else [])])
            # ``from package import module`` imports the module; ``from module import name`` the module before it.
            targets = [f"{base}.{alias.name}" if f"{base}.{alias.name}" in known else base for alias in node.names]
        else:
            continue
        yield from (target for target in targets if target in known and target != name)


def cycles(graph: Mapping[str, set[str]]) -> list[list[str]]:
    """The strongly connected components with more than one node, by Tarjan's algorithm without recursion."""
    index: dict[str, int] = {}
    low: dict[str, int] = {}
    stack: list[str] = []
    on_stack: set[str] = set()
    components: list[list[str]] = []
    for root in sorted(graph):
        if root in index:
            continue
        work = [(root, iter(sorted(graph[root])))]
        index[root] = low[root] = len(index)
        stack.append(root)
        on_stack.add(root)
        while work:
            node, successors = work[-1]
            for successor in successors:
                if successor not in index:
                    index[successor] = low[successor] = len(index)
                    stack.append(successor)
                    on_stack.add(successor)
                    work.append((successor, iter(sorted(graph[successor]))))
                    break
                if successor in on_stack:
                    low[node] = min(low[node], index[successor])
            else:
                work.pop()
                if work:
                    low[work[-1][0]] = min(low[work[-1][0]], low[node])
                if low[node] == index[node]:
                    component: list[str] = []
                    while not component or component[-1] != node:
                        component.append(stack.pop())
                        on_stack.discard(component[-1])
                    if len(component) > 1:
                        components.append(sorted(component))
    return components


def test_tarjan_names_the_cycles_of_a_graph() -> None:
    graph = {"a": {"b"}, "b": {"c"}, "c": {"a", "d"}, "d": {"e"}, "e": {"d"}, "f": {"a"}, "g": set()}
    assert sorted(cycles(graph)) == [["a", "b", "c"], ["d", "e"]]


def test_no_module_imports_itself_through_others() -> None:
    known = modules()
    assert len(known) > 100
    graph = {name: set(imports(name, path, known)) for name, path in known.items()}
    assert cycles(graph) == []


def test_imports_name_their_whole_module() -> None:
    """Relative imports hide from a search, and from a reader, where a name comes from."""
    relative = [
        f"{path.relative_to(ROOT)}:{node.lineno}"
        for path in modules().values()
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.ImportFrom) and node.level
    ]
    assert not relative


def test_import_linter_sees_every_module() -> None:
    """It overlooks a folder without ``__init__.py`` in a package. Alembic finds the migrations by their path."""
    folders = {path.parent for path in modules().values()}
    roots = {ROOT / part / "longshore" / part for part in PARTS}
    without = {folder for folder in folders - roots if not (folder / "__init__.py").exists()}
    assert {str(folder.relative_to(ROOT)) for folder in without} <= {_MIGRATIONS, f"{_MIGRATIONS}/gateway"}


def test_folders_are_small_enough_to_read() -> None:
    sizes = Counter(path.parent for path in source_files())
    large = {str(folder.relative_to(ROOT)): size for folder, size in sizes.items() if size > MAX_FILES_PER_FOLDER}
    assert large == {}
    assert statistics.median(sizes.values()) <= MAX_MEDIAN_FILES


def test_a_class_name_is_defined_once() -> None:
    places: dict[str, set[str]] = defaultdict(set)
    for path in source_files():
        for node in ast.walk(parse(path)):
            if isinstance(node, ast.ClassDef):
                places[node.name].add(f"{path.relative_to(ROOT)}:{node.lineno}")
    doubled = {name: sorted(lines) for name, lines in places.items() if len(lines) > 1}
    assert {name: lines for name, lines in doubled.items() if name not in DUPLICATE_CLASSES_ALLOWED} == {}
    assert set(DUPLICATE_CLASSES_ALLOWED) <= set(doubled), "an exception that is not needed any more"


def test_the_removed_words_of_the_glossary_stay_removed() -> None:
    lines, used = list[str](), defaultdict[str, set[str]](set)
    for path in project_files():
        name = str(path.relative_to(ROOT))
        for number, line in enumerate(path.read_text().splitlines(), 1):
            for word in map(str.lower, REMOVED_WORDS.findall(line)):
                used[name].add(word)
                if word not in REMOVED_WORDS_ALLOWED.get(name, ()):
                    lines.append(f"{name}:{number}: {line.strip()}")
    assert lines == []
    assert {name: used[name] for name in REMOVED_WORDS_ALLOWED} == REMOVED_WORDS_ALLOWED


def names(tree: ast.Module) -> Iterator[str]:
    """The names that a file defines or uses: variables, arguments, attributes, functions, classes and keywords."""
    for node in ast.walk(tree):
        match node:
            case ast.Name(id=name) | ast.Attribute(attr=name) | ast.arg(arg=name) | ast.keyword(arg=str(name)):
                yield name
            case ast.FunctionDef(name=name) | ast.AsyncFunctionDef(name=name) | ast.ClassDef(name=name):
                yield name


def test_variables_are_named_after_what_they_are() -> None:
    lines, vague = 0, Counter[str]()
    for path in source_files():
        lines += path.read_text().count("\n")
        count = sum(name in VAGUE_NAMES for name in names(parse(path)))
        vague[str(path.relative_to(ROOT))] += count
    rate = 1000 * vague.total() / lines
    assert rate <= MAX_VAGUE_NAMES_PER_1000_LINES, f"{rate:.1f} in 1,000 lines; most in {vague.most_common(5)}"
