"""Deliveries to receivers that work, fail, hang, redirect, are gone, or are not where they were."""

from __future__ import annotations

import ssl
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from ipaddress import ip_network
from pathlib import Path
from urllib.parse import urlsplit

import openai
import pytest
from pydantic import JsonValue
from standardwebhooks import Webhook
from standardwebhooks.webhooks import WebhookVerificationError

from longshore.broker.webhooks.send import Sender
from longshore.broker.webhooks.service import WebhookService
from longshore.broker.webhooks.settings import WebhookSettings
from longshore.broker.webhooks.signing import make_secret
from longshore.shared.ledger.gateway.webhooks import Delivery
from longshore.shared.ledger.ledger import Ledger
from tests.integration.certificates import write_certificates
from tests.integration.support import claim, commit, submit
from tests.integration.webhooks.receiver import Receiver, receiving
from tests.waiting import TIMEOUT_S, wait_until

LOCAL = WebhookSettings(networks=(ip_network("127.0.0.0/8"),), http=True)
#: Short enough for a test that waits until a receiver is given up.
SHORT_S = 0.3


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    with receiving() as receiver:
        yield receiver


@contextmanager
def delivering(ledger: Ledger, sender: Sender) -> Iterator[WebhookService]:
    with WebhookService(ledger.database, sender) as service:
        yield service


def quick(**options: object) -> Sender:
    """A sender that tries again at once, three times in all."""
    return Sender(LOCAL, **{"pause_after": lambda attempt: 0.0 if attempt < 3 else None, **options})  # type: ignore[arg-type]


def endpoint(ledger: Ledger, url: str, *types: str, secret: str = "") -> str:
    id = ledger.webhooks.create("tests", url, secret or make_secret(), types=types)
    assert id is not None
    return id


def add_events(ledger: Ledger, count: int = 1, type: str = "batch.completed", id: str = "batch_1") -> None:
    with ledger.database.transaction() as conn:
        for _ in range(count):
            ledger.webhooks.add_event(conn, "tests", type, {"id": id})


def ended(ledger: Ledger, id: str, count: int = 1) -> list[Delivery]:
    """The deliveries of an endpoint, when so many have ended."""

    def deliveries() -> Sequence[Delivery]:
        return [each for each in ledger.webhooks.deliveries(id, limit=2000) if each.state != "pending"]

    wait_until(lambda: len(deliveries()) >= count, f"{count} deliveries to end")
    return list(deliveries())


def errors(delivery: Delivery) -> list[JsonValue]:
    return [each["error"] for each in delivery.tries]


def test_readers_of_standard_webhooks_and_of_openai_accept_a_message(ledger: Ledger, receiver: Receiver) -> None:
    secret = make_secret()
    id = endpoint(ledger, f"{receiver.url}/hook?a=b", secret=secret)
    add_events(ledger)
    with delivering(ledger, quick()):
        (message,) = receiver.wait("/hook?a=b", 1)
        (delivery,) = ended(ledger, id)
    assert (delivery.state, delivery.attempt, delivery.next_try_at, delivery.event_id) == (
        "delivered",
        1,
        None,
        message.id,
    )
    assert [each["status"] for each in delivery.tries] == [204]
    assert message.headers["content-type"] == "application/json"
    assert message.headers["host"] == urlsplit(receiver.url).netloc

    event = Webhook(secret).verify(message.body, dict(message.headers))
    assert event["data"] == {"id": "batch_1"}
    unwrapped = openai.OpenAI(api_key="none", webhook_secret=secret).webhooks.unwrap(
        message.body, dict(message.headers)
    )
    assert isinstance(unwrapped, openai.types.webhooks.BatchCompletedWebhookEvent)
    assert (unwrapped.id, unwrapped.data.id, unwrapped.object) == (message.id, "batch_1", "event")
    with pytest.raises(WebhookVerificationError):
        Webhook(make_secret()).verify(message.body, dict(message.headers))
    with pytest.raises(WebhookVerificationError):
        Webhook(secret).verify(message.body + b" ", dict(message.headers))


def test_a_secret_that_was_replaced_is_valid_for_a_day_more(ledger: Ledger, receiver: Receiver) -> None:
    old, new = make_secret(), make_secret()
    id = endpoint(ledger, f"{receiver.url}/hook", secret=old)
    ledger.webhooks.rotate(id, new)
    with delivering(ledger, quick()):
        add_events(ledger)
        (message,) = receiver.wait("/hook", 1)
        for secret in (old, new):
            Webhook(secret).verify(message.body, dict(message.headers))
            openai.OpenAI(api_key="none", webhook_secret=secret).webhooks.unwrap(message.body, dict(message.headers))
        with ledger.database.connection() as conn:
            conn.execute("UPDATE webhook_secrets SET expires_at = now() WHERE expires_at < now() + interval '25 hours'")
        add_events(ledger)
        message = receiver.wait("/hook", 2)[1]
    Webhook(new).verify(message.body, dict(message.headers))
    with pytest.raises(WebhookVerificationError):
        Webhook(old).verify(message.body, dict(message.headers))


def test_a_receiver_that_fails_gets_the_event_again_with_the_same_id(ledger: Ledger, receiver: Receiver) -> None:
    receiver.answers = {"/500": 500, "/404": 404, "/redirect": 307, "/garbage": b"SSH-2.0-OpenSSH\r\n", "/long": b""}
    receiver.answers["/long"] = b"HTTP/1.1 100 Continue\r\n\r\n" * 10_000
    receiver.location = f"{receiver.url}/elsewhere"
    ids = {path: endpoint(ledger, receiver.url + path) for path in receiver.answers}
    add_events(ledger)
    with delivering(ledger, quick()):
        found = {path: ended(ledger, id)[0] for path, id in ids.items()}
    event = {each.id for each in receiver.messages}
    assert len(event) == 1
    assert {path: (each.state, each.attempt, len(receiver.at(path))) for path, each in found.items()} == dict.fromkeys(
        ids, ("failed", 3, 3)
    )
    assert errors(found["/500"]) == ["HTTP 500 Internal Server Error"] * 3
    assert errors(found["/redirect"]) == ["HTTP 307 Temporary Redirect; redirects are not followed"] * 3
    assert errors(found["/garbage"]) == ["the answer is no HTTP: BadStatusLine"] * 3
    assert errors(found["/long"])[0] == "the answer is no HTTP: HTTPException"
    assert receiver.at("/elsewhere") == []
    assert all(each.failing_since is not None for each in ledger.webhooks.endpoints("tests"))

    receiver.answers["/500"] = 200
    assert ledger.webhooks.redeliver("tests", ids["/500"], found["/500"].event_id)
    with delivering(ledger, quick()):
        message = receiver.wait("/500", 4)[3]
        wait_until(lambda: ended(ledger, ids["/500"])[0].state == "delivered")
    assert message.id == found["/500"].event_id
    endpoints = {each.id: each.failing_since for each in ledger.webhooks.endpoints("tests")}
    assert endpoints[ids["/500"]] is None


def test_a_receiver_that_is_gone_is_disabled(ledger: Ledger, receiver: Receiver) -> None:
    receiver.answers = {"/gone": 410}
    id, other = endpoint(ledger, f"{receiver.url}/gone"), endpoint(ledger, f"{receiver.url}/other")
    add_events(ledger, 20)
    with delivering(ledger, quick()):
        assert {each.state for each in ended(ledger, id, 20)} == {"failed"}
        ended(ledger, other, 20)
        add_events(ledger)
        ended(ledger, other, 21)
    # Those that were being sent when the answer came.
    assert 1 <= len(receiver.at("/gone")) <= 8
    found = ledger.webhooks.read("tests", id)
    assert found is not None
    assert found.disabled_at is not None
    assert found.disabled_reason == "HTTP 410 Gone"
    assert len(ledger.webhooks.deliveries(id, limit=100)) == 20

    receiver.answers.clear()
    assert ledger.webhooks.enable("tests", id)
    assert ledger.webhooks.redeliver_since("tests", id, found.created_at) == 21
    with delivering(ledger, quick()):
        wait_until(lambda: [each.state for each in ended(ledger, id, 21)] == ["delivered"] * 21)
    assert {each.id for each in receiver.at("/gone")} == {each.id for each in receiver.at("/other")}


def test_a_receiver_that_hangs_delays_no_other(ledger: Ledger, receiver: Receiver) -> None:
    hanging, working = endpoint(ledger, f"{receiver.url}/hang"), endpoint(ledger, f"{receiver.url}/hook")
    add_events(ledger, 1000)
    with delivering(ledger, Sender(LOCAL, timeout_s=TIMEOUT_S)):
        assert {each.state for each in ended(ledger, working, 1000)} == {"delivered"}
        assert len({each.id for each in receiver.at("/hook")}) == 1000
        assert len(receiver.at("/hook")) == 1000
        assert 1 <= len(receiver.at("/hang")) <= 4
    assert all(each.state == "pending" for each in ledger.webhooks.deliveries(hanging, limit=2000))


def test_a_receiver_that_does_not_answer_in_time_is_tried_again(ledger: Ledger, receiver: Receiver) -> None:
    id = endpoint(ledger, f"{receiver.url}/hang")
    add_events(ledger)
    with delivering(ledger, quick(timeout_s=SHORT_S)):
        (delivery,) = ended(ledger, id)
    assert (delivery.state, errors(delivery)) == ("failed", ["no answer in time"] * 3)


@pytest.mark.parametrize(
    ("answers", "reached"),
    [
        ([["127.0.0.1"], ["127.0.0.1"]], True),
        ([["10.1.2.3"]], False),
        ([["127.0.0.1", "10.1.2.3"]], False),
        ([["169.254.169.254"]], False),
        ([["::ffff:10.0.0.1"]], False),
        ([["64:ff9b::a00:1"]], False),
        ([["2002:a00:1::1"]], False),
        ([["fd00:ec2::254"]], False),
    ],
)
def test_a_name_leads_only_where_it_may(
    ledger: Ledger, receiver: Receiver, answers: list[list[str]], reached: bool
) -> None:
    """The addresses that are checked are those that are connected to: the name is looked up once for each try."""
    asked: list[str] = []

    def look_up(host: str, port: int) -> Sequence[str]:
        asked.append(host)
        # A second answer, after the check, would lead elsewhere.
        return answers[0] if len(asked) == 1 else ["10.9.9.9"]

    id = endpoint(ledger, f"http://hooks.example.com:{urlsplit(receiver.url).port}/hook")
    add_events(ledger)
    sender = Sender(LOCAL, look_up=look_up, pause_after=lambda attempt: None)
    with delivering(ledger, sender):
        (delivery,) = ended(ledger, id)
    assert asked == ["hooks.example.com"]
    assert delivery.state == ("delivered" if reached else "failed")
    if reached:
        assert receiver.at("/hook")[0].headers["host"] == f"hooks.example.com:{urlsplit(receiver.url).port}"
    else:
        assert errors(delivery) == ["the name leads to an address that is not public"]
        assert receiver.messages == []


def test_certificates_are_verified(ledger: Ledger, tmp_path: Path) -> None:
    write_certificates(tmp_path)
    server = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    server.load_cert_chain(tmp_path / "server.pem", tmp_path / "server.key")
    trusting = ssl.create_default_context(cafile=tmp_path / "ca.pem")
    with receiving(server) as receiver:
        id = endpoint(ledger, f"{receiver.url}/hook")
        add_events(ledger)
        with delivering(ledger, quick(pause_after=lambda attempt: None)):
            (delivery,) = ended(ledger, id)
        assert "certificate" in str(errors(delivery)[0])
        assert receiver.messages == []
        ledger.webhooks.redeliver("tests", id, delivery.event_id)
        with delivering(ledger, quick(tls=trusting)):
            receiver.wait("/hook", 1)
        # The certificate is of 127.0.0.1, and not of the name that leads there.
        id = endpoint(ledger, f"https://hooks.example.com:{urlsplit(receiver.url).port}/named")
        add_events(ledger)
        named = quick(tls=trusting, look_up=lambda host, port: ["127.0.0.1"], pause_after=lambda attempt: None)
        with delivering(ledger, named):
            (delivery,) = ended(ledger, id)
        assert "certificate" in str(errors(delivery)[0])


def test_the_end_of_a_job_is_an_event_of_its_transaction(ledger: Ledger, receiver: Receiver) -> None:
    id = endpoint(ledger, f"{receiver.url}/hook", "job.*")
    other = endpoint(ledger, f"{receiver.url}/other", "job.failed", "job.expired")
    done, failed, cancelled, expired = (submit(ledger, 2) for _ in range(4))
    commit(ledger, claim(ledger, done))
    ledger.attempts.fail(claim(ledger, failed), "no", permanent=True)
    ledger.control.cancel(cancelled)
    with ledger.database.connection() as conn:
        conn.execute("UPDATE jobs SET deadline = now() WHERE id = %s", [expired])
    ledger.maintenance.end_overdue()
    add_events(ledger)  # of a type that nobody wants
    with delivering(ledger, quick()):
        ended(ledger, id, 4)
        ended(ledger, other, 2)
    told = {str(each.event["type"]): each.event["data"] for each in receiver.at("/hook")}
    assert {type: data["id"] for type, data in told.items() if isinstance(data, dict)} == {
        "job.succeeded": str(done),
        "job.failed": str(failed),
        "job.cancelled": str(cancelled),
        "job.expired": str(expired),
    }
    assert sorted(str(each.event["type"]) for each in receiver.at("/other")) == ["job.expired", "job.failed"]
    ended_job = told["job.succeeded"]
    assert isinstance(ended_job, dict)
    job = ledger.queries.job(done)
    assert ended_job == {
        **{"id": str(done), "kind": "infer", "state": "succeeded", "model": "digits", "version": 1},
        **{"rows_total": 2, "rows_done": 2, "rows_failed": 0},
        "created_at": job.created_at.strftime("%Y-%m-%dT%H:%M:%S.%fZ"),
        "finished_at": None if job.finished_at is None else job.finished_at.strftime("%Y-%m-%dT%H:%M:%S.%fZ"),
    }


def test_a_job_ends_while_its_endpoint_is_deleted(ledger: Ledger) -> None:
    first, last = endpoint(ledger, "https://example.com/1"), endpoint(ledger, "https://example.com/2")
    job, other = claim(ledger, submit(ledger, 1)), claim(ledger, submit(ledger, 1))
    with ledger.database.own_connection() as deleting, deleting.transaction():
        deleting.execute("DELETE FROM webhook_endpoints WHERE id = %s", [first])
        commit(ledger, job)  # and waits for nobody
    assert [each.type for each in ledger.webhooks.deliveries(last, limit=10)] == ["job.succeeded"]
    with ledger.database.own_connection() as ending, ending.transaction():
        ending.execute("UPDATE jobs SET state = 'failed' WHERE id = %s", [other.job_id])
        # The table is in use: the trigger stays, and the endpoint is gone all the same.
        assert ledger.webhooks.delete("tests", last)
    assert ledger.webhooks.endpoints("tests") == []
    new = endpoint(ledger, "https://example.com/3")
    commit(ledger, claim(ledger, submit(ledger, 1)))
    assert len(ledger.webhooks.deliveries(new, limit=10)) == 1


def test_a_cluster_without_endpoints_has_no_trigger(ledger: Ledger) -> None:
    # A trigger stays if somebody uses the table for longer than its removal waits: here, Postgres' own vacuum.
    with ledger.database.connection() as conn:
        conn.execute("ALTER TABLE jobs SET (autovacuum_enabled = off)")

    def has_trigger() -> bool:
        with ledger.database.connection() as conn:
            row = conn.execute("SELECT FROM pg_trigger WHERE tgname = 'jobs_record_events'").fetchone()
        return row is not None

    assert not has_trigger()
    first, second = endpoint(ledger, "https://example.com/1"), endpoint(ledger, "https://example.com/2")
    assert ledger.webhooks.delete("tests", first)
    assert not ledger.webhooks.delete("others", second)
    assert has_trigger()
    assert ledger.webhooks.delete("tests", second)
    assert not has_trigger()
    assert not ledger.webhooks.delete("tests", second)
    with ledger.database.connection() as conn:
        conn.execute("ALTER TABLE jobs RESET (autovacuum_enabled)")
