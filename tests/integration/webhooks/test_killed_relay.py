"""A relay that is killed, or frozen, at each step of a delivery: another relay sends what it has not."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator

import pytest

from longshore.broker.webhooks.schedule import JITTER, MAX_TRIES, pause_after
from longshore.broker.webhooks.send import Sender
from longshore.broker.webhooks.service import LANES, LEASE_S, WebhookService
from longshore.broker.webhooks.settings import HTTP_VARIABLE, NETWORKS_VARIABLE, load_webhook_settings
from longshore.broker.webhooks.signing import make_secret
from longshore.shared.ledger.gateway.webhook_deliveries import ClaimedDelivery, WebhookDeliveries
from longshore.shared.ledger.ledger import Ledger
from longshore.shared.settings import Settings
from tests.integration.support import claim, commit, submit
from tests.integration.webhooks.receiver import Receiver, receiving
from tests.waiting import TIMEOUT_S, wait_until

KILLED = """
import os, signal, sys
from longshore.broker import relay
from longshore.shared.fault_point import armed
def kill(name):
    if name == sys.argv[1]:
        os.kill(os.getpid(), signal.SIGKILL)
with armed(kill):
    relay.main()
"""
LOCAL = {NETWORKS_VARIABLE: "127.0.0.1", HTTP_VARIABLE: "1"}


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    with receiving() as receiver:
        yield receiver


def endpoint(ledger: Ledger, url: str) -> str:
    id = ledger.webhooks.create("tests", url, make_secret())
    assert id is not None
    return id


def end_jobs(ledger: Ledger, count: int) -> None:
    for _ in range(count):
        commit(ledger, claim(ledger, submit(ledger, 1)))


def let_claims_run_out(ledger: Ledger) -> None:
    with ledger.database.connection() as conn:
        conn.execute("UPDATE webhook_deliveries SET next_try_at = now() WHERE next_try_at IS NOT NULL")


@pytest.mark.parametrize("moment", ["webhooks:claimed", "webhooks:sent", "webhooks:before_commit", "webhooks:recorded"])
def test_each_event_is_delivered_at_least_once_with_the_same_id(
    services: Settings, ledger: Ledger, receiver: Receiver, moment: str
) -> None:
    id = endpoint(ledger, f"{receiver.url}/hook")
    end_jobs(ledger, 6)
    environment = {**os.environ, **services.environment(), **LOCAL, "PYTHONSAFEPATH": "1"}
    killed = subprocess.run([sys.executable, "-c", KILLED, moment], env=environment, check=False, timeout=TIMEOUT_S)
    assert killed.returncode == -signal.SIGKILL
    before = {each.event_id: each.state for each in ledger.webhooks.deliveries(id, limit=100)}
    assert len(before) == 6
    assert ("delivered" in before.values()) == (moment == "webhooks:recorded")

    let_claims_run_out(ledger)
    with WebhookService(ledger.database, Sender(load_webhook_settings(LOCAL))):
        wait_until(lambda: {each.state for each in ledger.webhooks.deliveries(id, limit=100)} == {"delivered"})
    messages = receiver.at("/hook")
    assert {each.id for each in messages} == before.keys()
    assert {each.event["id"] for each in messages} == before.keys()
    delivered_before = [event for event, state in before.items() if state == "delivered"]
    assert all([each.id for each in messages].count(event) == 1 for event in delivered_before)


def claim_one(ledger: Ledger) -> ClaimedDelivery:
    with ledger.database.connection() as conn:
        (claimed,) = WebhookDeliveries.claim(conn, failing=False, each=4, busy={}, limit=10, lease_s=LEASE_S)
    return claimed


def test_a_frozen_relay_records_nothing_over_another(ledger: Ledger, receiver: Receiver) -> None:
    id = endpoint(ledger, f"{receiver.url}/hook")
    end_jobs(ledger, 1)
    sender = Sender(load_webhook_settings(LOCAL), pause_after=lambda attempt: None)
    frozen = claim_one(ledger)
    with ledger.database.connection() as conn:
        assert WebhookDeliveries.claim(conn, failing=False, each=4, busy={}, limit=10, lease_s=LEASE_S) == []
    let_claims_run_out(ledger)
    other = claim_one(ledger)
    receiver.answers = {"/hook": 500}
    late = sender.send(frozen)
    receiver.answers = {}
    with ledger.database.own_connection() as conn:
        WebhookDeliveries.record(conn, [sender.send(other)])
        WebhookDeliveries.record(conn, [late])
    (delivery,) = ledger.webhooks.deliveries(id, limit=10)
    assert (delivery.state, delivery.attempt, len(delivery.tries)) == ("delivered", 1, 1)
    assert {each.id for each in receiver.at("/hook")} == {delivery.event_id}


def test_an_endpoint_gets_few_messages_at_a_time(ledger: Ledger, receiver: Receiver) -> None:
    id = endpoint(ledger, f"{receiver.url}/hook")
    end_jobs(ledger, 6)
    values = {"failing": False, "each": 4, "limit": 10, "lease_s": LEASE_S}
    with ledger.database.connection() as conn:
        assert len(WebhookDeliveries.claim(conn, busy={id: 3}, **values)) == 1  # type: ignore[arg-type]
        assert WebhookDeliveries.claim(conn, busy={id: 4}, **values) == []  # type: ignore[arg-type]
        assert len(WebhookDeliveries.claim(conn, busy={}, **values)) == 4  # type: ignore[arg-type]
        assert WebhookDeliveries.claim(conn, busy={}, **{**values, "failing": True}) == []  # type: ignore[arg-type]
    assert all(lane.each < lane.threads for lane in LANES)


def test_old_events_are_removed(ledger: Ledger, receiver: Receiver) -> None:
    id = endpoint(ledger, f"{receiver.url}/hook")
    end_jobs(ledger, 2)
    new = ledger.webhooks.deliveries(id, limit=10)[0].event_id
    with ledger.database.connection() as conn:
        conn.execute("UPDATE webhook_events SET created_at = now() - interval '31 days' WHERE id <> %s", [new])
        assert WebhookDeliveries.remove_old(conn) == 1
        assert WebhookDeliveries.count_pending(conn, limit=10) == 1
    assert [each.event_id for each in ledger.webhooks.deliveries(id, limit=10)] == [new]


def test_ten_tries_take_75_hours() -> None:
    pauses = [pause_after(attempt) for attempt in range(1, MAX_TRIES + 1)]
    assert pauses[-1] is None
    total_h = sum(pause or 0.0 for pause in pauses) / 3600
    assert (MAX_TRIES, 75.6 * (1 - JITTER) <= total_h <= 75.6 * (1 + JITTER)) == (10, True)
