"""The lines of an attempt, bounded and without secrets."""

from __future__ import annotations

import io
from dataclasses import dataclass, field
from itertools import pairwise
from uuid import UUID, uuid4

from longshore.shared.ledger.shards.logs import MAX_HEAD_CHARS, MAX_PART_CHARS, MAX_TAIL_CHARS
from longshore.workers.process.logs.attempt_log import MAX_LINE_CHARS, AttemptLog
from longshore.workers.process.logs.printed import Printed


@dataclass(frozen=True)
class Attempt:
    job_id: UUID = field(default_factory=uuid4)
    shard: int = 0
    attempt: int = 1


def texts(log: AttemptLog) -> list[str]:
    """Without their moments."""
    return [line.split(" ", 1)[1] for part in log.take() for line in part.text.splitlines()]


def test_lines_have_a_level_and_no_secrets() -> None:
    log = AttemptLog(Attempt(), quiet=False)
    log.add("INFO", "at redis://user:hunter2@host\nsecond")
    log.add("OUT", "10%\r20%\r100%")
    log.add("OUT", "a\x00b \ud800")
    assert texts(log) == ["INFO at redis://***@host", "INFO second", "OUT 100%", "OUT ab ?"]
    assert log.take() == []


def test_parts_are_contiguous_where_nothing_is_left_out() -> None:
    log = AttemptLog(Attempt(), quiet=False)
    log.add("OUT", "x" * 100_000)
    for number in range(1000):
        log.add("OUT", f"line {number}")
    parts = log.take()
    assert len(parts) > 1
    assert max(len(part.text) for part in parts) <= MAX_PART_CHARS + MAX_LINE_CHARS
    assert [part.start for part in parts] == [0, *(part.stop for part in parts[:-1])]


def test_what_is_added_faster_than_taken_keeps_its_ends() -> None:
    log = AttemptLog(Attempt(), quiet=False)
    for number in range(50_000):
        log.add("OUT", f"line {number}")
    parts = log.take()
    assert sum(len(part.text) for part in parts) <= MAX_HEAD_CHARS + MAX_TAIL_CHARS + MAX_LINE_CHARS
    assert parts[0].start == 0
    assert parts[0].text.splitlines()[0].endswith("OUT line 0")
    assert parts[-1].text.endswith("OUT line 49999\n")
    gaps = [second.start - first.stop for first, second in pairwise(parts)]
    assert len([gap for gap in gaps if gap]) == 1


def test_a_quiet_log_is_worth_writing_when_it_says_something() -> None:
    log = AttemptLog(Attempt(), quiet=True)
    log.add("INFO", "start", usual=True)
    before = log.worth_writing
    log.add("WARNING", "look")
    assert (before, log.worth_writing) == (False, True)
    assert texts(log) == ["INFO start", "WARNING look"]


def test_what_is_printed_is_passed_on_and_shown_by_line() -> None:
    stream, lines = io.StringIO(), list[str]()
    printed = Printed(stream, lines.append)
    print("one", "two", file=printed)
    print("no end yet", end="", file=printed)
    assert (stream.getvalue(), lines) == ("one two\nno end yet", ["one two"])
    print(file=printed)
    assert lines == ["one two", "no end yet"]


def test_an_error_of_the_log_is_not_one_of_print() -> None:
    def fail(line: str) -> None:
        raise RuntimeError(line)

    stream = io.StringIO()
    print("kept", file=Printed(stream, fail))
    assert stream.getvalue() == "kept\n"
