"""The page of the routes."""

from __future__ import annotations

from longshore.producers.gateway.reference import PAGE, ROOT, render_routes


def test_the_page_has_the_routes_of_the_gateway() -> None:
    assert (ROOT / PAGE).read_text() == render_routes(), "run python -m longshore.producers.gateway.reference"
