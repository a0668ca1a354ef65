"""What a child writes on its board, its parent reads."""

from __future__ import annotations

import os
from collections.abc import Iterator
from uuid import uuid4

import pytest

from longshore.workers.process.watchdog.board import (
    MAX_ATTEMPTS,
    MAX_LOG_BYTES,
    AttemptState,
    Board,
    ShownAttempt,
    pack_attempt,
)


@pytest.fixture
def parent() -> Iterator[Board]:
    board = Board.create()
    yield board
    board.close()


@pytest.fixture
def child(parent: Board) -> Iterator[Board]:
    assert parent.path is not None
    board = Board.open(parent.path)
    yield board
    board.close()


def entry(attempt: ShownAttempt) -> bytes:
    return pack_attempt(attempt.job_id, attempt.shard, attempt.attempt) + bytes([attempt.state])


def test_the_parent_sees_what_the_child_writes(parent: Board, child: Board) -> None:
    assert (parent.pid, parent.ready, parent.attempts(), parent.log(), parent.stack()) == (0, False, [], "", "")
    attempts = [ShownAttempt(uuid4(), shard, shard + 1, state) for shard, state in enumerate(AttemptState)]
    child.set_pid(4711)
    child.set_ready()
    child.beat()
    child.progress()
    child.progress()
    child.set_started(12.5)
    child.set_attempts([*map(entry, attempts)])
    child.set_log("été")
    assert child.file is not None
    child.file.write(b"the stack")
    assert (parent.pid, parent.ready, parent.pulse, parent.progressed, parent.started) == (4711, True, 1, 2, 12.5)
    assert parent.attempts() == attempts
    assert (parent.log(), parent.stack()) == ("été", "the stack")
    child.set_attempts([*map(entry, attempts[:1])])
    child.set_log("")
    assert (parent.attempts(), parent.log()) == (attempts[:1], "")


def test_it_has_no_name_once_both_have_it(parent: Board, child: Board) -> None:
    assert parent.path is not None
    assert not parent.path.exists()


def test_it_holds_no_more_than_it_has_room_for(parent: Board, child: Board) -> None:
    job = uuid4()
    child.set_attempts([pack_attempt(job, shard, 1) + b"\1" for shard in range(MAX_ATTEMPTS + 1)])
    child.set_log("a" + "b" * MAX_LOG_BYTES)
    assert len(parent.attempts()) == MAX_ATTEMPTS
    assert parent.log() == "b" * MAX_LOG_BYTES


def test_a_child_without_a_parent_has_one_for_itself() -> None:
    board = Board.private()
    board.set_pid(os.getpid())
    assert (board.pid, board.stack()) == (os.getpid(), "")
    board.close()
