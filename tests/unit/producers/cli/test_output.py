"""The output of commands."""

from __future__ import annotations

import json
import os
import sys
from datetime import UTC, datetime
from pathlib import Path
from uuid import UUID

import pytest

from longshore.producers.cli.output import clean, note, print_fields, print_table
from longshore.producers.documents.json_text import to_json
from longshore.shared.ledger.records import MetricRecord
from tests.terminal import on_a_terminal

TABLE = (
    "from longshore.producers.cli.output import print_table; print_table(('STATE', 'N'), [('failed', 12), ('[b]', 3)])"
)


def test_a_table_in_a_pipe_is_plain_aligned_text(capsys: pytest.CaptureFixture[str]) -> None:
    print_table(("NAME", "COUNT"), [("a", 1), ("longer", 1000), ("none", None)])
    assert capsys.readouterr().out == "NAME    COUNT\na           1\nlonger   1000\nnone\n"


def test_an_empty_table_has_its_header(capsys: pytest.CaptureFixture[str]) -> None:
    print_table(("NAME", "COUNT"), [])
    assert capsys.readouterr().out == "NAME  COUNT\n"


def test_fields_without_a_value_are_left_out(capsys: pytest.CaptureFixture[str]) -> None:
    print_fields({"job": 3, "error": None, "version": "", "rows_done": 0})
    assert capsys.readouterr().out == "job        3\nrows_done  0\n"


def test_untrusted_text_cannot_control_the_terminal(capsys: pytest.CaptureFixture[str]) -> None:
    assert clean("a\x1b[31mb\r\nc\x9b") == "a [31mb c "
    note("an error:\n\x1b]0;title\x07")
    assert capsys.readouterr().err == "an error: ]0;title \n"


def test_numbers_that_json_cannot_represent_become_null() -> None:
    document = {
        "id": UUID(int=7),
        "at": datetime(2030, 1, 2, tzinfo=UTC),
        "path": Path("/x"),
        "metrics": [
            MetricRecord(step=1, name="loss", value=float("nan"), recorded_at=datetime(2030, 1, 2, tzinfo=UTC))
        ],
        "names": ("ä",),
    }
    text = to_json(document)
    assert "ä" in text
    assert json.loads(text) == {
        "id": "00000000-0000-0000-0000-000000000007",
        "at": "2030-01-02T00:00:00+00:00",
        "path": "/x",
        "metrics": [{"step": 1, "name": "loss", "value": None, "recorded_at": "2030-01-02T00:00:00+00:00"}],
        "names": ["ä"],
    }


def test_on_a_terminal_states_have_colours_and_brackets_are_no_markup() -> None:
    environment = {name: value for name, value in os.environ.items() if name != "NO_COLOR"}
    shown = on_a_terminal([sys.executable, "-c", TABLE], environment, columns=80)
    assert "\x1b[31mfailed" in shown
    assert "[b]" in shown
