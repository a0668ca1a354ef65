"""A relay that is frozen while it leads: another takes over, and nothing is wrong when the first goes on."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from celery import Celery

from longshore.broker import relay as relay_module
from longshore.broker.relay import Relay
from longshore.producers.cli.checks import ledger as checks
from longshore.producers.cli.checks.check import Level
from longshore.shared.ledger.ledger import Ledger
from longshore.shared.settings import Settings
from tests.integration.queued import message_count, pass_time
from tests.integration.support import submit
from tests.waiting import TIMEOUT_S, wait_until


@contextmanager
def relay_process(services: Settings, log: Path) -> Iterator[subprocess.Popen[bytes]]:
    environment = {**os.environ, **services.environment(), "PYTHONSAFEPATH": "1"}
    with (
        log.open("wb") as output,
        subprocess.Popen(
            [sys.executable, "-m", "longshore.broker.relay"], env=environment, stdout=output, stderr=output
        ) as process,
    ):
        try:
            yield process
        finally:
            process.send_signal(signal.SIGCONT)
            process.send_signal(signal.SIGTERM)
            process.wait(TIMEOUT_S)


def test_a_frozen_relay_loses_the_lead(
    ledger: Ledger, app: Celery, services: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(relay_module, "LEAD_TIMEOUT_S", 4.0)
    monkeypatch.setattr(checks, "MAX_RELAY_SILENCE_S", 2.0)
    log = tmp_path / "relay.log"
    with relay_process(services, log) as frozen:
        wait_until(lambda: ledger.queries.relay_silence() is not None, "the lead of the first relay")
        wait_until(lambda: checks.check_relay(services).level is Level.OK, "its first round")
        frozen.send_signal(signal.SIGSTOP)
        wait_until(lambda: checks.check_relay(services).level is Level.FAIL, "the truth from doctor")
        assert "has done nothing for" in checks.check_relay(services).detail

        standby = Relay(ledger, app)
        thread = threading.Thread(target=standby.run)
        thread.start()
        try:
            submit(ledger, 1)
            pass_time(ledger)
            wait_until(lambda: message_count(app) == 1, "publishing by the other relay")
            wait_until(lambda: checks.check_relay(services).level is Level.OK, "its lead")

            frozen.send_signal(signal.SIGCONT)
            wait_until(lambda: "trying again" in log.read_text(), "the end of the first relay's lead")
            assert frozen.poll() is None
            # One more if it was frozen while it compared Redis, still empty, with Postgres. A double does no harm.
            assert message_count(app) in (1, 2)
        finally:
            standby.stop()
            thread.join()
        # It stands by, and leads again when it is needed.
        wait_until(lambda: log.read_text().count(": leading") == 2, "its second lead")
