from __future__ import annotations

import signal
from pathlib import Path

import pytest

from longshore.broker.embedded.home import Home
from longshore.broker.embedded.process.identity import Identity
from longshore.broker.embedded.process.record import Record, Recorded, record_file


@pytest.fixture
def home(tmp_path: Path) -> Home:
    made = Home(tmp_path / "home")
    made.prepare()
    return made


def test_what_is_written_is_read_back(home: Home) -> None:
    record = Record(
        "run",
        (
            Recorded("redis", Identity(12, 1700000000.25), signal.SIGTERM, 30.0),
            Recorded("postgres", Identity(13, 1700000001.5), signal.SIGINT, 30.0),
        ),
    )
    record.write(home)
    assert Record.read(home) == record


@pytest.mark.parametrize("content", ["", "{", "[]", '{"run": "x"}', '{"run": "x", "children": [{"name": "redis"}]}'])
def test_a_damaged_record_is_none(home: Home, content: str) -> None:
    assert Record.read(home) is None
    record_file(home).write_text(content)
    assert Record.read(home) is None
