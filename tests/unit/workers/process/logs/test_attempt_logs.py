"""An attempt neither fails nor waits when its log cannot be written."""

from __future__ import annotations

import io
import logging
import sys
from uuid import uuid4

import pytest

from longshore.shared.ledger.ledger import Ledger
from longshore.shared.ledger.records import Claim
from longshore.workers.process.logs.attempt_logs import AttemptLogs
from longshore.workers.process.watchdog.board import Board
from longshore.workers.process.watchdog.show import Shown
from tests.waiting import wait_until


def new_claim() -> Claim:
    return Claim(
        job_id=uuid4(),
        shard=0,
        attempt=1,
        attempt_limit=3,
        action="train",
        kind="train",
        start=0,
        stop=1,
        offset=None,
        length=None,
        spec={},
        model="m",
        version=None,
        digest=None,
        rows_per_shard=None,
        max_attempts=3,
        producer="tests",
        queue="cpu",
        priority=4,
    )


def test_lines_are_dropped_with_one_warning(monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture) -> None:
    out = io.StringIO()
    monkeypatch.setattr(sys, "stdout", out)
    monkeypatch.setattr(sys, "stderr", io.StringIO())
    root = logging.getLogger()
    monkeypatch.setattr(root, "handlers", list(root.handlers))
    board = Board.private()
    # Nothing listens there.
    with Ledger("postgresql://user@127.0.0.1:1/name") as ledger:
        logs = AttemptLogs(ledger, Shown(board))
        logs.install()
        for number in range(3):
            with logs.of(new_claim()):
                sys.stdout.write(f"line {number}\n")
        wait_until(lambda: "dropped" in caplog.text, "the warning")
        logs.close()
    assert caplog.text.count("dropped") == 1
    assert out.getvalue() == "line 0\nline 1\nline 2\n"
    assert board.log() == "line 0\nline 1\nline 2"
