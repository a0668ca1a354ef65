"""The README in Chinese has the same commands, programs and links as the one in English."""

from __future__ import annotations

import re

from markdown_it import MarkdownIt
from markdown_it.token import Token

from tests.compose_file import ROOT

ENGLISH, CHINESE = "README.md", "README.zh-CN.md"


def tokens(name: str) -> list[Token]:
    """The parts of a README, with those inside of its lines."""
    blocks = MarkdownIt("commonmark").parse((ROOT / name).read_text())
    return [token for block in blocks for token in (block, *(block.children or ()))]


def links(name: str) -> list[str]:
    """Where the links of a README lead, without those to the other one."""
    found = [str(token.attrs["href"]) for token in tokens(name) if token.type == "link_open"]
    return [link for link in found if not link.startswith("README")]


def test_both_have_the_same_code() -> None:
    english, chinese = (
        [(token.info, token.content) for token in tokens(name) if token.type in ("fence", "code_block")]
        for name in (ENGLISH, CHINESE)
    )
    assert english == chinese
    assert len(english) == 6


def test_both_name_the_same_commands_and_lead_to_the_same_pages() -> None:
    english, chinese = (
        [token.content for token in tokens(name) if token.type == "code_inline"] for name in (ENGLISH, CHINESE)
    )
    assert english == chinese
    assert links(ENGLISH) == links(CHINESE)


def test_each_leads_to_the_other() -> None:
    assert f"]({CHINESE})" in (ROOT / ENGLISH).read_text()
    assert f"]({ENGLISH})" in (ROOT / CHINESE).read_text()


def test_both_have_the_same_sections() -> None:
    english, chinese = (re.findall(r"^#+ ", (ROOT / name).read_text(), re.MULTILINE) for name in (ENGLISH, CHINESE))
    assert english == chinese
