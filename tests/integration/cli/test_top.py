"""``longshore status`` and ``top``: what each device does, on a ledger whose workers are the tests."""

from __future__ import annotations

import os
import pty
import signal
import subprocess
from dataclasses import replace
from pathlib import Path
from uuid import UUID

import pytest

from longshore.broker.embedded.report import last_words
from longshore.shared.ledger.ledger import Ledger
from longshore.shared.ledger.workers import Presence
from longshore.shared.settings import Settings
from tests.integration.command_line import PROGRAM, CommandLine, without_settings
from tests.integration.support import claim, new_job

BUSY = Presence(name="cpu:0@tests", device="cpu:0", queue="cpu", host="tests", pid=1, families=["mlp"])
IDLE = replace(BUSY, name="cpu:0.2@tests", pid=2)
SILENT = replace(BUSY, name="cuda:0@tests", device="cuda:0", queue="gpu", pid=3)


@pytest.fixture
def longshore(services: Settings) -> CommandLine:
    return CommandLine({**without_settings(), **services.environment()})


@pytest.fixture
def training(ledger: Ledger) -> UUID:
    """A worker in the seventh epoch of a training, one that is idle, one that is silent, and a job that waits."""
    running, waiting = new_job(40, kind="train", model="cifar", version=None), new_job(1, queue="gpu", priority=7)
    ledger.submissions.submit([running, waiting])
    for presence in (BUSY, IDLE, SILENT):
        ledger.workers.see(presence)
    with ledger.database.connection() as conn:
        conn.execute("UPDATE workers SET seen_at = now() - interval '5 minutes' WHERE queue = 'gpu'")
    ledger.attempts.renew(claim(ledger, running.id), lease=600.0, rows=6, changed=True)
    return running.id


def columns_of(line: str) -> list[str]:
    return [cell.strip() for cell in line.split("  ") if cell.strip()]


@pytest.mark.parametrize("command", [("status",), ("top", "--once")])
def test_each_device_is_shown_with_its_work(longshore: CommandLine, training: UUID, command: tuple[str, ...]) -> None:
    lines = longshore(*command).out.splitlines()
    rows = {columns_of(line)[0]: columns_of(line) for line in lines if "@tests" in line}
    busy = rows["cpu:0@tests"]
    assert busy[1:4] == ["busy", "train cifar", "epoch 7 of 40"]
    assert busy[-1] == str(training)
    assert rows["cpu:0.2@tests"] == ["cpu:0.2@tests", "idle"]
    assert rows["cuda:0@tests"][:3] == ["cuda:0@tests", "silent", "5m"]


@pytest.mark.usefixtures("training")
def test_top_counts_jobs_and_shows_the_next(longshore: CommandLine) -> None:
    said = longshore("top").out
    assert "workers: 2 alive, 1 busy\njobs: 1 running, 1 queued, 0 waiting\n" in said
    assert columns_of(said.splitlines()[-1])[:3] == ["infer digits:1", "gpu", "7"]


def test_why_a_job_waits(longshore: CommandLine, ledger: Ledger, training: UUID) -> None:
    (waiting,) = ledger.activity.next_jobs(10)
    said = longshore("jobs", "why", str(waiting)).out.splitlines()
    assert said[0].startswith("queued: no gpu worker is alive; cuda:0@tests was seen 5m ")
    assert "to start one: longshore worker --devices cuda" in said
    document = longshore("jobs", "why", str(waiting), "--json").fields
    assert (document["job"], document["state"]) == (str(waiting), "queued")
    assert str(document["reason"]).startswith("no gpu worker is alive")
    (line,) = [line for line in longshore("jobs", "show", str(waiting)).out.splitlines() if line.startswith("why ")]
    assert "no gpu worker is alive" in line
    assert str(longshore("jobs", "show", str(waiting), "--json").fields["why"]).startswith("no gpu worker is alive")
    assert longshore("jobs", "why", str(training)).out.startswith("running: it runs on cpu:0@tests, epoch 7 of 40")


def test_programs_get_the_same(longshore: CommandLine, training: UUID) -> None:
    for document in (longshore("status", "--json").fields, longshore("top", "--json").fields):
        workers = document["workers"]
        assert isinstance(workers, list)
        jobs = {worker["name"]: worker["job"] for worker in workers}
        assert jobs.keys() == {"cpu:0@tests", "cpu:0.2@tests", "cuda:0@tests"}
        assert jobs["cpu:0.2@tests"] is None
        busy = jobs["cpu:0@tests"]
        assert (busy["id"], busy["done"], busy["total"], busy["unit"]) == (str(training), 6, 40, "epochs")
        assert busy["remaining"] > 0


@pytest.mark.usefixtures("training")
@pytest.mark.parametrize("width", [60, 80, 120])
def test_top_is_live_until_ctrl_c(longshore: CommandLine, width: int) -> None:
    screen, terminal = pty.openpty()
    environment = {**longshore.environment, "TERM": "xterm-256color", "COLUMNS": str(width), "LINES": "24"}
    command = [*PROGRAM, "top", "--interval", "0.1"]
    process = subprocess.Popen(command, env=environment, stdin=terminal, stdout=terminal, stderr=terminal)
    os.close(terminal)
    shown = b""
    interrupted = False
    try:
        while chunk := os.read(screen, 65536):
            shown += chunk
            if shown.count(b"epoch 7 of 40") >= 2 and not interrupted:  # it has looked twice
                process.send_signal(signal.SIGINT)
                interrupted = True
    except OSError:  # how Linux says that the last one has closed the terminal
        pass
    finally:
        os.close(screen)
    assert process.wait(60) == 0
    assert b"Traceback" not in shown


def test_the_last_words_of_a_worker_are_not_those_of_its_supervisor(tmp_path: Path) -> None:
    (tmp_path / "logs").mkdir()
    assert last_words(tmp_path, "workers") is None
    log = tmp_path / "logs" / "workers.log"
    log.write_text("")
    assert last_words(tmp_path, "workers") is None
    supervisor = "2026-11-29 12:00:00,000 WARNING longshore.workers.process.supervisor: cpu:0@here ended with status 1"
    log.write_text(f"Traceback (most recent call last):\nImportError: no torch\n{supervisor}\n")
    assert last_words(tmp_path, "workers") == "ImportError: no torch"
    log.write_text(f"{supervisor}\n")
    assert last_words(tmp_path, "workers") == supervisor
