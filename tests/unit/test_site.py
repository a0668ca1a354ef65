"""The site of the documentation: built strictly, it shows every page as plain Markdown does, and loads nothing."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import pytest
from markdown_it import MarkdownIt

from tests.compose_file import ROOT

DOCS = ROOT / "docs"
ROOT_PAGES = [ROOT / name for name in ("CHANGELOG.md", "CONTRIBUTING.md", "README.zh-CN.md", "SECURITY.md")]
PAGES = [*sorted(DOCS.rglob("*.md")), *ROOT_PAGES]
#: Elements of which a page has as many on the site as elsewhere: readers of Markdown differ most in lists.
ELEMENTS = ("h1", "h2", "h3", "h4", "ul", "ol", "li", "table", "tr", "pre", "blockquote")
#: What makes a browser load something; a link does not.
LOADED = re.compile(r"<(?:script|img|link|iframe|source)\b[^>]*?(?:src|href)=[\"']?((?:https?:)?//[^\"'> ]+)")


def build(folder: Path, *options: str) -> subprocess.CompletedProcess[str]:
    """Build a site into a folder. Not with ``--quiet``: it drops warnings, before a strict build counts them."""
    command = [sys.executable, "-m", "mkdocs", "build", "--strict", "--site-dir", str(folder), *options]
    environment = {**os.environ, "NO_MKDOCS_2_WARNING": "1"}
    return subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False)


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The site, built once."""
    folder = tmp_path_factory.mktemp("site")
    done = build(folder)
    assert done.returncode == 0, done.stdout + done.stderr
    return folder


def shown(site: Path, page: Path) -> str:
    """What the site shows of a page, as HTML."""
    name = page.relative_to(DOCS if page.is_relative_to(DOCS) else ROOT).with_suffix("")
    folder = site if name.name == "index" else site / name
    return (folder / "index.html").read_text().partition("<article")[2].partition("</article>")[0]


def numbers(html: str) -> dict[str, int]:
    """How many there are of each of :data:`ELEMENTS`."""
    return {name: len(re.findall(rf"<{name}\b(?!-)", html)) for name in ELEMENTS}


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_a_page_has_the_same_parts_as_on_a_forge(site: Path, page: Path) -> None:
    plain = MarkdownIt("commonmark").enable("table").render(page.read_text())
    assert numbers(shown(site, page)) == numbers(plain)


def test_every_example_is_a_page(site: Path) -> None:
    examples = {path.stem for path in (ROOT / "examples").glob("*.py")}
    assert {path.parent.name for path in (site / "examples").glob("*/index.html")} == examples


def test_nothing_is_loaded_from_elsewhere(site: Path) -> None:
    pages = list(site.rglob("*.html"))
    assert len(pages) > len(PAGES)
    assert {(page.name, address) for page in pages for address in LOADED.findall(page.read_text())} == set()
    styles = [path.read_text() for path in site.rglob("*.css")]
    assert [match for style in styles for match in re.findall(r"url\([\"']?https?://[^)]*", style)] == []


def test_the_search_knows_every_page(site: Path) -> None:
    index = (site / "search" / "search_index.json").read_text()
    assert {page for page in PAGES if page.stem != "index" and f"/{page.stem}/" not in index.replace('"', "/")} == set()


@pytest.mark.parametrize(
    ("pages", "reason"),
    [
        (["# A\n\n[B](nowhere.md)"], "nowhere.md"),
        (["# A\n\n[A](#nowhere)"], "#nowhere"),
        (["# A", "# B"], "not included in the"),
    ],
    ids=["dead link", "dead anchor", "page outside of nav"],
)
def test_a_fault_fails_the_build(tmp_path: Path, pages: Sequence[str], reason: str) -> None:
    docs = tmp_path / "docs"
    docs.mkdir()
    for name, text in zip(("index.md", "other.md"), pages, strict=False):
        (docs / name).write_text(text)
    config = tmp_path / "mkdocs.yml"
    config.write_text(f"INHERIT: {ROOT / 'mkdocs.yml'}\ndocs_dir: docs\nhooks: []\nnav: [index.md]\n")
    done = build(tmp_path / "site", "--config-file", str(config))
    assert done.returncode == 1
    assert reason in done.stdout + done.stderr
