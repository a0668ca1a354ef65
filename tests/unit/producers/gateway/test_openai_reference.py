"""The reference page of OpenAI's parameters."""

from __future__ import annotations

from longshore.producers.gateway.openai.reference import PAGE, render
from tests.compose_file import ROOT


def test_the_page_is_what_the_bodies_say() -> None:
    assert (ROOT / PAGE).read_text() == render(), "run: python -m longshore.producers.gateway.openai.reference"
