"""What the owner of a job reads of a process that has ended."""

from __future__ import annotations

import signal

import pytest

from longshore.workers.process.watchdog.board import Board
from longshore.workers.process.watchdog.reasons import MAX_REASON_CHARS, describe_exit, exit_reason, redact


@pytest.mark.parametrize(
    ("code", "text"),
    [
        (0, "its process ended with status 0"),
        (7, "its process ended with status 7"),
        (-signal.SIGSEGV, "its process was ended by SIGSEGV"),
        (-signal.SIGKILL, "its process was killed (SIGKILL); the machine or the container may have run out of memory"),
        (-200, "its process was ended by signal 200"),
    ],
)
def test_an_exit_is_described(code: int, text: str) -> None:
    assert describe_exit(code) == text


@pytest.mark.parametrize(
    ("text", "public"),
    [
        ("at postgresql://user:hunter2@host:5432/name", "at postgresql://***@host:5432/name"),
        ("redis://:hunter2@host", "redis://***@host"),
        ("s3://bucket/key and https://host/path", "s3://bucket/key and https://host/path"),
        ("password=hunter2, token: hunter3", "password=*** token: ***"),
    ],
)
def test_secrets_are_replaced(text: str, public: str) -> None:
    assert redact(text) == public


def test_a_reason_has_the_newest_stack_and_the_last_lines() -> None:
    board = Board.create()
    try:
        assert board.file is not None
        assert board.path is not None
        with board.path.open("ab") as file:
            file.write(
                b'Thread 0x1 (most recent call first):\n  File "/old.py", line 1 in old\n'
                b'Current thread 0x1 (most recent call first):\n  File "/a/b/net.py", line 37 in forward\n'
                b'  File "/a/run.py", line 5 in run\n'
            )
        board.set_log("loading\nat https://user:hunter2@host\x00")
        assert exit_reason("it broke", board) == (
            "it broke; it was in forward (net.py:37), called by run (run.py:5); "
            "its last log lines: loading\nat https://***@host"
        )
        board.set_log("x" * 4000)
        assert len(exit_reason("y" * 2000, board)) == MAX_REASON_CHARS
    finally:
        board.close()
