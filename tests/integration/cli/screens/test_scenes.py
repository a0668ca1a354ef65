"""The screens about a cluster and its jobs at 60, 80 and 120 columns, as files that people can look at.

``WRITE_SCREENS=1 pytest`` of this file writes them, instead of comparing them with what is shown.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from longshore.producers.cli.table_layout import display_width
from longshore.shared.ledger.ledger import Ledger
from longshore.shared.ledger.locks import RELAY_LOCK
from longshore.shared.ledger.statements import sessions
from longshore.shared.settings import Settings
from tests.integration.cli.screens.scenes import SCENES, stay_alive
from tests.integration.command_line import PROGRAM, without_settings
from tests.terminal import on_a_terminal, without_escapes

EXPECTED = Path(__file__).parent / "expected"
#: Times of day and addresses, with texts of the same width.
SAME_WIDTH = (
    (re.compile(r"\b\d{4}-\d\d-\d\d \d\d:\d\d:\d\d\b"), "2026-11-29 15:10:02"),
    (re.compile(r"(?m)^\d\d:\d\d:\d\d  (?=workers)"), "15:10:02  "),
)
#: The addresses above the tables of ``status``, which are those of this test run.
ADDRESSES = re.compile(r"\A(?:home|redis) .*\n(?:.+\n)*\n")


@pytest.fixture
def relay(ledger: Ledger) -> Iterator[None]:
    """A relay that leads, as far as anybody can see."""
    with ledger.database.own_connection() as conn:
        conn.execute(sessions.LOCK, {"key": RELAY_LOCK})
        yield


@pytest.fixture
def limits(ledger: Ledger) -> Iterator[None]:
    """No limit of a producer stays."""
    yield
    ledger.producer_limits.set("maria@gpu-box-7", None)


@pytest.mark.usefixtures("relay", "limits")
@pytest.mark.parametrize("name", SCENES)
def test_a_screen_is_as_expected_and_fits(services: Settings, ledger: Ledger, name: str) -> None:
    scene = SCENES[name]
    command = [*PROGRAM, *scene.prepare(ledger)]
    environment = {**without_settings(), **services.environment(), "TZ": "UTC"}
    for width in scene.widths:
        stay_alive(ledger)
        shown = without_escapes(on_a_terminal(command, environment, width, scene.exit_code))
        for pattern, text in SAME_WIDTH:
            shown = pattern.sub(text, shown)
        shown = ADDRESSES.sub("", shown)
        expected = EXPECTED / f"{name}-{width}.txt"
        if os.environ.get("WRITE_SCREENS"):
            expected.write_text(shown)
        assert shown == expected.read_text()
        if scene.fits:
            assert max(map(display_width, shown.splitlines())) <= width
