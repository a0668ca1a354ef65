"""The receivers that the page on webhooks shows, with a real relay's messages."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import httpx
import pytest

from longshore.broker.embedded.services.ports import any_free_port
from longshore.broker.webhooks.send import Sender
from longshore.broker.webhooks.service import WebhookService
from longshore.broker.webhooks.settings import load_webhook_settings
from longshore.broker.webhooks.signing import make_secret
from longshore.shared.ledger.ledger import Ledger
from tests.compose_file import ROOT
from tests.integration.cluster_pool import LOCAL_WEBHOOKS
from tests.waiting import TIMEOUT_S, wait_until

PAGE = (ROOT / "docs" / "how-to" / "webhooks.md").read_text()
PROGRAMS = {"python": sys.executable, "javascript": shutil.which("node") or ""}


def program(language: str) -> str:
    return PAGE.split(f"```{language}\n")[1].split("```")[0]


@pytest.mark.parametrize(("language", "ending"), [("python", "py"), ("javascript", "mjs")])
def test_a_receiver_takes_each_event_once(ledger: Ledger, tmp_path: Path, language: str, ending: str) -> None:
    if not PROGRAMS[language]:
        pytest.skip("node is not installed")
    path = tmp_path / f"receiver.{ending}"
    path.write_text(program(language))
    secret, port = make_secret(), any_free_port()
    environment = {**os.environ, "WEBHOOK_SECRET": secret, "PORT": str(port)}
    id = ledger.webhooks.create("tests", f"http://127.0.0.1:{port}/hooks", secret)
    assert id is not None

    def answers() -> bool:
        try:
            return httpx.post(f"http://127.0.0.1:{port}/", content=b"{}").status_code == 401
        except httpx.TransportError:
            return False

    with (tmp_path / "out").open("wb+") as out:
        process = subprocess.Popen([PROGRAMS[language], str(path)], env=environment, stdout=out)
        try:
            wait_until(answers, "the receiver refuses what is not signed")
            with ledger.database.transaction() as conn:
                ledger.webhooks.add_event(conn, "tests", "batch.completed", {"id": "batch_ü"})
            with WebhookService(ledger.database, Sender(load_webhook_settings(LOCAL_WEBHOOKS))):
                for _ in range(2):
                    (delivery,) = ledger.webhooks.deliveries(id, limit=10)
                    ledger.webhooks.redeliver("tests", id, delivery.event_id)
                    wait_until(lambda: ledger.webhooks.deliveries(id, limit=10)[0].state == "delivered")
            # The first delivery may have been one with its redelivery, the second was not.
            assert len(ledger.webhooks.deliveries(id, limit=10)[0].tries) >= 2
        finally:
            process.terminate()
            process.wait(TIMEOUT_S)
        out.seek(0)
        assert out.read().decode().splitlines() == ["batch.completed batch_ü"]
