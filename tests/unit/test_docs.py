"""The documentation: every link resolves, every page can be reached, every command exists, and every program parses."""

from __future__ import annotations

import ast
import inspect
import json
import re
import shlex
from collections.abc import Iterator
from pathlib import Path

import click
import pytest
import yaml

from longshore import producers
from longshore.producers.cli.catalog import COMMANDS
from longshore.producers.cli.main import cli
from longshore.shared import errors
from longshore.shared.specs.families import BUILT_IN
from tests.compose_file import ROOT

DOCS = ROOT / "docs"
INDEX = DOCS / "index.md"
PAGES = [
    *(
        page
        for name in ("README.md", "README.zh-CN.md", "CHANGELOG.md", "CONTRIBUTING.md")
        if (page := ROOT / name).exists()
    ),
    *sorted(DOCS.rglob("*.md")),
]
SOURCES = [
    *(source for folder in ("shared", "broker", "producers", "workers", "benchmarks", "examples", "tests", "deploy")
      for source in sorted((ROOT / folder).rglob("*.py"))),
    *(ROOT / name for name in ("compose.yaml", "pyproject.toml")),
]  # fmt: skip

_FENCE = re.compile(r"^( *)```(\w*)\n(.*?)^\1```$", re.DOTALL | re.MULTILINE)
_CODE = re.compile(r"`[^`]*`")
_LINK = re.compile(r"\[[^\]]*\]\(([^)\s]+)\)")
_HEADING = re.compile(r"^#{1,6} (.*)$", re.MULTILINE)
#: A page as sources name it: ``docs/reference/metrics.md``.
_NAMED_PAGE = re.compile(r"(?<![\w./])docs/[\w/-]+\.md")


def relative(path: Path) -> str:
    """The name of a page in the parameters of a test."""
    return str(path.relative_to(ROOT))


def blocks(page: Path, *languages: str) -> list[str]:
    """The fenced code blocks of a page in some languages."""
    return [match[3] for match in _FENCE.finditer(page.read_text()) if match[2] in languages]


def links(page: Path) -> Iterator[str]:
    """The targets of a page's links that lead to this repository."""
    prose = _CODE.sub("code", _FENCE.sub("", page.read_text()))
    for target in _LINK.findall(prose):
        if not re.match(r"[a-z]+:", target):
            yield target


def anchors(page: Path) -> set[str]:
    """The anchors of a page's headings, as GitHub makes them."""
    made: set[str] = set()
    for heading in _HEADING.findall(_FENCE.sub("", page.read_text())):
        text = re.sub(r"\[([^\]]*)\]\([^)]*\)", r"\1", heading).strip().lower()
        slug = re.sub(r"[^\w\- ]", "", text).replace(" ", "-")
        number = next(number for number in range(len(made) + 1) if (f"{slug}-{number}" if number else slug) not in made)
        made.add(f"{slug}-{number}" if number else slug)
    return made


@pytest.mark.parametrize("page", PAGES, ids=relative)
def test_every_link_leads_to_a_file_and_a_heading_that_exist(page: Path) -> None:
    for link in links(page):
        path, _, anchor = link.partition("#")
        target = (page.parent / path).resolve() if path else page
        assert target.is_relative_to(ROOT), f"{link} leads out of the repository"
        assert target.exists(), f"{link}: there is no {target}"
        assert not anchor or anchor in anchors(target), f"{link}: no such heading; there are {sorted(anchors(target))}"


def test_every_page_can_be_reached_from_the_index() -> None:
    reached, pending = set[Path](), [INDEX]
    while pending:
        page = pending.pop()
        if page in reached:
            continue
        reached.add(page)
        targets = ((page.parent / link.partition("#")[0]).resolve() for link in links(page))
        pending += [target for target in targets if target.suffix == ".md" and target.is_relative_to(DOCS)]
    assert {relative(page) for page in DOCS.rglob("*.md")} - {relative(page) for page in reached} == set()


def test_the_index_links_to_every_page() -> None:
    linked = {(DOCS / link.partition("#")[0]).resolve() for link in links(INDEX)}
    assert {relative(page) for page in DOCS.rglob("*.md")} - {relative(page) for page in linked} == {"docs/index.md"}


def test_sources_name_pages_that_exist() -> None:
    named = {name for source in SOURCES for name in _NAMED_PAGE.findall(source.read_text())}
    assert {name for name in named if not (ROOT / name).exists()} == set()


@pytest.mark.parametrize("page", PAGES, ids=relative)
def test_pages_name_sources_and_modules_that_exist(page: Path) -> None:
    text = page.read_text()
    paths = re.findall(r"(?:shared|broker|producers|workers)/longshore/[\w/.]*\w", text)
    assert {path for path in paths if not (ROOT / path).exists()} == set()
    imports = re.findall(r"^from (longshore[\w.]*) import ", text, re.MULTILINE)
    folders = {name: ROOT / name.split(".")[1] / Path(*name.split(".")) for name in imports}
    assert {name for name, path in folders.items() if not (path.is_dir() or path.with_suffix(".py").exists())} == set()


@pytest.mark.parametrize("page", PAGES, ids=relative)
def test_programs_and_documents_can_be_parsed(page: Path) -> None:
    for program in blocks(page, "python"):
        ast.parse(program)
    for document in blocks(page, "json"):
        json.loads(document)
    for document in blocks(page, "yaml"):
        yaml.safe_load(document.replace("!override", ""))


def command_lines(page: Path) -> Iterator[list[str]]:
    """The words of every ``longshore`` command in the shell blocks of a page."""
    for block in blocks(page, "sh", "console"):
        for line in block.replace("\\\n", " ").splitlines():
            words = shlex.split(line, comments=True)
            if words and words[0] == "longshore":
                yield words[1:]


@pytest.mark.parametrize("page", PAGES, ids=relative)
def test_commands_exist_and_have_the_options_that_are_shown(page: Path) -> None:
    for words in command_lines(page):
        command: click.Command = cli
        context = click.Context(cli, info_name="longshore")
        while isinstance(command, click.Group) and words and (inner := command.get_command(context, words[0])):
            context, command, words = click.Context(inner, parent=context, info_name=words[0]), inner, words[1:]
        assert command is not cli, f"{words} names no command"
        options = {name for parameter in command.params for name in (*parameter.opts, *parameter.secondary_opts)}
        shown = {word.partition("=")[0] for word in words if re.match(r"--?[a-z]", word)}
        assert shown <= options, f"{context.command_path} has no {sorted(shown - options)}"
        if not isinstance(command, click.Group) and "..." not in words:
            check_complete(command, context, words)


def check_complete(command: click.Command, context: click.Context, words: list[str]) -> None:
    """A command has the arguments and options that it must have, and no other arguments."""
    end = next((index for index, word in enumerate(words) if re.match(r"[|>&;]|\d>", word)), len(words))
    values, others, _ = command.make_parser(context).parse_args(words[:end])
    shown = f"{context.command_path} {shlex.join(words)}"
    assert not others, f"{shown}: {others} is too much"
    for parameter in command.params:
        assert not parameter.required or values.get(parameter.name or ""), f"{shown}: lacks {parameter.name}"


def test_every_command_is_in_the_reference() -> None:
    table = (DOCS / "reference" / "command-line.md").read_text()
    assert {name for name in COMMANDS if not re.search(rf"`{name}\b", table)} == set()


def test_every_exception_and_every_class_of_the_client_is_in_the_reference() -> None:
    text = (DOCS / "reference" / "python.md").read_text()
    exceptions = {name for name, each in vars(errors).items() if inspect.isclass(each) and issubclass(each, Exception)}
    # Inside workers only.
    for name in exceptions - {"AttemptLost"} | set(producers.__all__):
        assert f"`{name}`" in text, name


def written(default: object) -> str:
    """A default value as the reference writes it."""
    if isinstance(default, str):
        return f"`{default}`"
    return json.dumps(list(default) if isinstance(default, tuple) else default).replace(".0", "")


@pytest.mark.parametrize("family", list(BUILT_IN))
def test_every_key_of_a_family_is_in_the_reference_with_its_default(family: str) -> None:
    text = (DOCS / "reference" / "families.md").read_text()
    # From the line that introduces the family to the next one that introduces another.
    introduction = rf"^(?:## {family}\n|\*\*`{family}`\*\*)"
    [section] = re.findall(rf"{introduction}.*?(?=^## |^\*\*`|\Z)", text, re.DOTALL | re.MULTILINE)
    shared = text[text.index("## rnn and transformer") : text.index("**`rnn`**")]
    for key, field in BUILT_IN[family].model_fields.items():
        if field.is_required():
            assert f"`{key}` (required)" in section
        elif field.default is None:
            assert f"`{key}` |" in shared or f"`{key}` |" in section
        else:
            assert f"`{key}` ({written(field.default)})" in section.replace("(1.0)", "(1)")


def test_every_variable_of_the_environment_is_in_the_reference() -> None:
    text = (DOCS / "reference" / "settings.md").read_text() + (DOCS / "how-to" / "deployment.md").read_text()
    variables = {name for source in SOURCES if "tests" not in source.parts
                 for name in re.findall(r"\bLONGSHORE_[A-Z_]+\b", source.read_text())}  # fmt: skip
    # What a supervisor passes to its own child processes.
    internal = {name for name in variables if name.startswith("LONGSHORE_WORKER_")} | {"LONGSHORE_UP_RUN"}
    assert {name for name in variables - internal if name not in text} == set()
