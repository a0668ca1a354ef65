"""The part of the site that lies outside of ``docs/``: a hook of mkdocs, named in ``mkdocs.yml``.

Pages link to files of the repository by relative paths, as a reader of the plain Markdown needs them. The site has
those files as pages, too, and links to them lead there.
"""

from __future__ import annotations

import os
import re
from pathlib import Path

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files
from mkdocs.structure.pages import Page

ROOT = Path(__file__).parents[1]
DOCS = ROOT / "docs"
#: Pages in the root of the repository.
ROOT_PAGES = ("CHANGELOG.md", "CONTRIBUTING.md", "README.zh-CN.md", "SECURITY.md")
#: Shown as pages with one block of code.
EXAMPLES = sorted((ROOT / "examples").glob("*.py"))
#: Where links lead whose targets are no page of the site.
ELSEWHERE = {ROOT / "README.md": "index.md", ROOT / "examples": "index.md#examples"}

_LINK = re.compile(r"\]\(([^)\s#:]+)(#[^)\s]*)?\)")


def on_files(files: Files, config: MkDocsConfig) -> None:
    """Add the pages that are not in ``docs/``."""
    for name in ROOT_PAGES:
        files.append(File.generated(config, name, abs_src_path=str(ROOT / name)))
    for path in EXAMPLES:
        page = f"# {path.name}\n\n```python\n{path.read_text()}```\n"
        files.append(File.generated(config, site_page(path), content=page))


def on_page_markdown(markdown: str, page: Page, config: MkDocsConfig, files: Files) -> str:
    """Lead the links of a page to the pages of the site."""
    source = page.file.src_uri
    folder = ROOT if source in ROOT_PAGES else (DOCS / source).parent

    def led(link: re.Match[str]) -> str:
        target = (folder / link[1]).resolve()
        if not target.exists() or not target.is_relative_to(ROOT):
            return link[0]
        return f"]({os.path.relpath(site_page(target), Path(source).parent)}{link[2] or ''})"

    return _LINK.sub(led, markdown)


def site_page(path: Path) -> str:
    """The page of the site that shows a file of the repository."""
    if path.is_relative_to(DOCS):
        return path.relative_to(DOCS).as_posix()
    return ELSEWHERE.get(path) or path.relative_to(ROOT).with_suffix(".md").as_posix()
