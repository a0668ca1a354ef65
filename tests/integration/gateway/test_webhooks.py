"""Webhooks over HTTP and on the command line, on a cluster."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

import httpx
import pytest
from pydantic import JsonValue
from standardwebhooks import Webhook

from longshore.shared.ledger.gateway.webhooks import MAX_ENDPOINTS
from tests.integration.cluster import Cluster
from tests.integration.cluster_pool import LOCAL_WEBHOOKS
from tests.integration.command_line import CommandLine
from tests.integration.gateway_beside import RunningGateway, running_gateway
from tests.integration.webhooks.receiver import Receiver, receiving
from tests.waiting import wait_until

ABSENT = f"we_{'0' * 32}"


@pytest.fixture(scope="module")
def gateway(cluster: Cluster) -> Iterator[RunningGateway]:
    with running_gateway(cluster, LOCAL_WEBHOOKS) as gateway:
        yield gateway


@pytest.fixture(scope="module")
def receiver() -> Iterator[Receiver]:
    with receiving() as receiver:
        yield receiver


def delivered(http: httpx.Client, id: str, count: int) -> list[Mapping[str, JsonValue]]:
    """The log of an endpoint, when so many deliveries have ended."""

    def log() -> list[Mapping[str, JsonValue]]:
        answer = http.get(f"/v1/webhooks/{id}/deliveries").raise_for_status()
        return [each for each in answer.json()["data"] if each["state"] != "pending"]

    wait_until(lambda: len(log()) >= count, f"{count} deliveries")
    return log()


def test_the_end_of_a_job_reaches_an_endpoint(
    gateway: RunningGateway, http: httpx.Client, receiver: Receiver, digits_version: None
) -> None:
    made = http.post("/v1/webhooks", json={"url": f"{receiver.url}/jobs", "types": ["job.*"]})
    assert made.status_code == 201
    id, secret = made.json()["id"], made.json()["secret"]
    assert made.json()["enabled"]
    shown = http.get(f"/v1/webhooks/{id}").json()
    assert shown == {name: value for name, value in made.json().items() if name != "secret"}
    assert http.get("/v1/webhooks").json()["data"] == [shown]

    job = http.post("/v1/jobs", json={"kind": "infer", "model": "digits:1", "data": [[0.0] * 64]}).json()
    (message,) = receiver.wait("/jobs", 1)
    event = Webhook(secret).verify(message.body, dict(message.headers))
    assert event["data"]["id"] == job["id"]
    (delivery,) = delivered(http, id, 1)
    assert (delivery["event"], delivery["type"], delivery["state"]) == (message.id, event["type"], "delivered")

    tested = http.post(f"/v1/webhooks/{id}/test").json()["event"]
    assert receiver.wait("/jobs", 2)[1].id == tested
    rotated = http.post(f"/v1/webhooks/{id}/rotate").json()["secret"]
    assert rotated != secret
    assert http.post(f"/v1/webhooks/{id}/redeliver", json={"event": message.id}).json() == {"events": 1}
    again = receiver.wait("/jobs", 3)[2]
    assert (again.id, again.body) == (message.id, message.body)
    for each in (secret, rotated):
        Webhook(each).verify(again.body, dict(again.headers))

    changed = http.patch(f"/v1/webhooks/{id}", json={"url": f"{receiver.url}/other", "description": "for search"})
    assert changed.json() == {**shown, "url": f"{receiver.url}/other", "description": "for search"}
    since = http.post(f"/v1/webhooks/{id}/redeliver", json={"since": "2020-01-01T00:00:00Z"})
    assert since.json() == {"events": 1}
    receiver.wait("/other", 1)
    delivered(http, id, 2)
    first = http.get(f"/v1/webhooks/{id}/deliveries?limit=1").json()
    second = http.get(f"/v1/webhooks/{id}/deliveries", params={"limit": 1, "cursor": first["next"]}).json()
    assert [first["data"][0]["event"], second["data"][0]["event"]] == [tested, message.id]
    assert (first["has_more"], second["has_more"]) == (True, False)

    for method, path in (("DELETE", ""), ("PATCH", ""), ("POST", "/enable")):
        assert http.request(method, f"/v1/webhooks/we_%00{path}", json={}).status_code == 404
    with gateway.http(producer="others") as others:
        assert others.get("/v1/webhooks").json()["data"] == []
        for method, path in (
            *(("GET", ""), ("DELETE", ""), ("POST", "/enable"), ("POST", "/rotate"), ("POST", "/test")),
            ("GET", "/deliveries"),
        ):
            theirs, absent = (others.request(method, f"/v1/webhooks/{each}{path}") for each in (id, ABSENT))
            assert (theirs.status_code, absent.status_code) == (404, 404)
            assert theirs.json()["detail"].replace(id, ABSENT) == absent.json()["detail"]
        assert others.patch(f"/v1/webhooks/{id}", json={"url": "https://example.com"}).status_code == 404
        assert others.post(f"/v1/webhooks/{id}/redeliver", json={"event": message.id}).status_code == 404
        own = others.post("/v1/webhooks", json={"url": "https://example.com/hooks"}).json()["id"]
        assert others.post(f"/v1/webhooks/{own}/redeliver", json={"event": message.id}).status_code == 422
        assert others.delete(f"/v1/webhooks/{own}").json()["deleted"]
    assert http.get(f"/v1/webhooks/{id}").json()["url"] == f"{receiver.url}/other"
    assert http.delete(f"/v1/webhooks/{id}").json() == {"id": id, "object": "webhook_endpoint", "deleted": True}
    assert http.get(f"/v1/webhooks/{id}").status_code == 404


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({"url": "ftp://example.com"}, "url"),
        ({"url": "https://user:secret@example.com"}, "url"),
        ({"url": "http://169.254.169.254/latest"}, "url"),
        ({"url": "https://10.0.0.1/hooks"}, "url"),
        ({"url": "https://[::ffff:10.0.0.1]/hooks"}, "url"),
        ({"url": "https://metadata.google.internal/"}, "url"),
        ({"url": "https://example.com/a b"}, "url"),
        ({"url": "https://exa\r\nmple.com/"}, "url"),
        ({"url": "https://example.com:99999/"}, "url"),
        ({"url": "https://"}, "url"),
        ({"url": "https://example.com", "types": ["job.suceeded"]}, "types"),
        ({"url": "https://example.com", "secret": "mine"}, "secret"),
    ],
)
def test_a_wrong_endpoint_is_refused(http: httpx.Client, body: Mapping[str, JsonValue], field: str) -> None:
    answer = http.post("/v1/webhooks", json=body)
    assert answer.status_code == 422, answer.text
    assert [each["field"] for each in answer.json()["errors"]] == [field]
    assert "secret@" not in answer.text
    assert http.get("/v1/webhooks").json()["data"] == []


def test_a_producer_has_a_number_of_endpoints(gateway: RunningGateway) -> None:
    with gateway.http(producer="many") as http:
        ids = [
            http.post("/v1/webhooks", json={"url": "https://example.com/"}).json()["id"] for _ in range(MAX_ENDPOINTS)
        ]
        assert http.post("/v1/webhooks", json={"url": "https://example.com/"}).status_code == 422
        for id in ids:
            http.delete(f"/v1/webhooks/{id}").raise_for_status()


def test_a_secret_is_not_kept_for_a_request_that_is_sent_again(gateway: RunningGateway) -> None:
    with gateway.http(producer="again") as http:
        made = [
            http.post("/v1/webhooks", json={"url": "https://example.com/"}, headers={"Idempotency-Key": "once"})
            for _ in range(3)
        ]
        assert [answer.status_code for answer in made] == [201, 409, 409]
        assert [each["id"] for each in http.get("/v1/webhooks").json()["data"]] == [made[0].json()["id"]]
        with gateway.cluster.ledger.database.connection() as conn:
            kept = conn.execute("SELECT content FROM kept_answers WHERE producer = 'again'").fetchall()
        assert kept == [(None,)]
        http.delete(f"/v1/webhooks/{made[0].json()['id']}").raise_for_status()


def test_the_command_line(cluster: Cluster, receiver: Receiver) -> None:
    longshore = CommandLine({**cluster.environment, **LOCAL_WEBHOOKS})
    url = f"{receiver.url}/cli"
    made = longshore("webhooks", "create", url, "--type", "job.*", "--producer", "cli", "--json").fields
    id, secret = str(made["id"]), str(made["secret"])
    event = longshore("webhooks", "test", id, "--producer", "cli", "--json").fields["event"]
    (message,) = receiver.wait("/cli", 1)
    assert message.id == event
    Webhook(secret).verify(message.body, dict(message.headers))
    wait_until(lambda: cluster.ledger.webhooks.deliveries(id, limit=1)[0].state == "delivered")
    log = longshore("webhooks", "deliveries", id, "--producer", "cli").out
    assert log.splitlines()[1].split()[:5] == [event, "webhook.test", "delivered", "1", "204"]
    for command in ("list", "show", "deliveries"):
        done = longshore("webhooks", command, *([] if command == "list" else [id]), "--producer", "cli", "--json")
        assert id in done.out or str(event) in done.out
        assert secret not in done.out
    assert longshore("webhooks", "redeliver", id, "--event", str(event), "--producer", "cli").code == 0
    assert receiver.wait("/cli", 2)[1].id == event
    new = longshore("webhooks", "rotate", id, "--producer", "cli").out.split()
    assert new[0] == id
    assert new[1].startswith("whsec_")
    assert longshore("webhooks", "enable", id, "--producer", "cli").code == 0
    # Of the producer who runs the command it is not.
    wrong = longshore("webhooks", "delete", id)
    assert (wrong.code, f"there is no endpoint '{id}'" in wrong.err) == (2, True)
    assert longshore("webhooks", "delete", id, "--producer", "cli").code == 0
    assert "".join(cluster.log(name) for name in ("relay", "workers")).count("whsec_") == 0
