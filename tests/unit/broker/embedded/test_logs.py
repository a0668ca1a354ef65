from __future__ import annotations

import io
from pathlib import Path

from longshore.broker.embedded.logs import Echo, LogReader, rotate


def test_a_log_within_bounds_is_left_alone(tmp_path: Path) -> None:
    log = tmp_path / "relay.log"
    log.write_text("short")
    rotate(log, limit=5)
    rotate(tmp_path / "none.log", limit=5)
    assert [entry.name for entry in tmp_path.iterdir()] == ["relay.log"]


def test_a_large_log_starts_again_for_the_process_that_holds_it_open(tmp_path: Path) -> None:
    log = tmp_path / "relay.log"
    with log.open("ab", buffering=0) as held:
        held.write(b"first\n")
        rotate(log, limit=5)
        held.write(b"second\n")
    assert log.read_text() == "second\n"
    assert (tmp_path / "relay.log.1").read_text() == "first\n"


def test_a_tail_gives_complete_new_lines_once(tmp_path: Path) -> None:
    log = tmp_path / "relay.log"
    log.write_text("before\n")
    reader = LogReader(log)
    assert reader.lines() == []
    with log.open("ab", buffering=0) as held:
        held.write(b"one\ntw")
        assert reader.lines() == ["one"]
        held.write("o ü\n".encode())
        assert reader.lines() == ["two ü"]
        rotate(log, limit=1)
        held.write(b"after\n")
        assert reader.lines() == ["after"]


def test_lines_are_repeated_behind_names_in_a_column(tmp_path: Path) -> None:
    logs = [tmp_path / "up.log", tmp_path / "workers.log"]
    output = io.StringIO()
    with Echo(output, logs):
        logs[0].write_text("ready\n")
        logs[1].write_text("cpu:0 is up\n")
    assert output.getvalue() == "up      | ready\nworkers | cpu:0 is up\n"


def test_a_closed_terminal_is_no_error(tmp_path: Path) -> None:
    output = io.StringIO()
    output.close()
    with Echo(output, [tmp_path / "up.log"]):
        (tmp_path / "up.log").write_text("ready\n")
