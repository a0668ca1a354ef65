"""``Idempotency-Key``: once, whatever happens in between."""

from __future__ import annotations

import hashlib
import signal
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from uuid import uuid4

import httpx
import pytest

from longshore.shared.ledger.gateway.kept_answers import HeldKey
from tests.integration import digits
from tests.integration.cluster import Cluster
from tests.integration.gateway_beside import RunningGateway, running_gateway

Body = Mapping[str, object]


def new_key() -> dict[str, str]:
    return {"Idempotency-Key": uuid4().hex}


@pytest.fixture(scope="module")
def body(cluster: Cluster) -> dict[str, object]:
    """Of a small training."""
    data = str(digits.write(cluster.folder / "digits.parquet", 50))
    return {
        "kind": "train",
        "model": "new",
        "family": "linear",
        "data": data,
        "target": "label",
        "options": {"epochs": 1},
    }


def jobs(http: httpx.Client) -> set[str]:
    return {job["id"] for job in http.get("/v1/jobs").json()["data"]}


def test_the_same_request_has_its_effect_once(http: httpx.Client, gateway: RunningGateway, body: Body) -> None:
    key, before = new_key(), jobs(http)
    first = http.post("/v1/jobs", json=body, headers=key)
    assert first.status_code == 201, first.text
    again = http.post("/v1/jobs", json=body, headers=key)
    assert (again.status_code, again.content) == (first.status_code, first.content)
    assert again.headers["location"] == first.headers["location"]
    assert again.headers["idempotency-replayed"] == "true"
    assert jobs(http) - before == {first.json()["id"]}
    other = http.post("/v1/jobs", json={**body, "model": "other"}, headers=key)
    assert (other.status_code, other.json()["code"]) == (422, "key_reused")
    # A key is that of a producer.
    with gateway.http(producer="other-team") as others:
        assert others.post("/v1/jobs", json=body, headers=key).json()["id"] != first.json()["id"]
    for wrong in ("", "two words", "k" * 256):
        assert http.post("/v1/jobs", json=body, headers={"Idempotency-Key": wrong}).status_code == 400


def test_requests_at_the_same_time_have_one_effect(http: httpx.Client, body: Body) -> None:
    key, before = new_key(), jobs(http)
    with ThreadPoolExecutor(8) as threads:
        answers = list(threads.map(lambda _: http.post("/v1/jobs", json=body, headers=key), range(8)))
    assert {answer.status_code for answer in answers} <= {201, 409}
    assert all(answer.json()["code"] == "in_progress" for answer in answers if answer.status_code == 409)
    assert len(jobs(http) - before) == 1


def test_a_refused_request_can_be_sent_again_with_its_key(http: httpx.Client, body: Body) -> None:
    key = new_key()
    assert http.post("/v1/jobs", json={"kind": "infer"}, headers=key).status_code == 422
    assert http.post("/v1/jobs", json=body, headers=key).status_code == 201


def test_uploads_are_compared_without_their_boundary(http: httpx.Client) -> None:
    key = new_key()
    sent = [
        http.post("/v1/files", data={"purpose": "user_data"}, files={"file": ("a", content)}, headers=key)
        for content in (b"one", b"one", b"two")
    ]
    # OpenAI's API has no 422.
    assert [answer.status_code for answer in sent] == [200, 200, 400], sent[0].text
    assert sent[2].json()["code"] == "key_reused"
    assert sent[0].json()["id"] == sent[1].json()["id"]


def interrupt(cluster: Cluster, key: str) -> None:
    """As if the gateway had been killed after the effect, and the time to hold the key were over."""
    with cluster.ledger.database.transaction() as conn:
        changed = conn.execute(
            "UPDATE kept_answers SET status = NULL, held_until = now() - interval '1 s', "
            "created_at = created_at - interval '1 s' WHERE key = %s",
            [key],
        ).rowcount
    assert changed == 1


def test_after_a_kill_a_submission_leads_to_its_job_and_others_are_refused(cluster: Cluster, body: Body) -> None:
    key, retry_key = new_key(), new_key()
    with running_gateway(cluster) as gateway, gateway.http() as http:
        job = http.post("/v1/jobs", json=body, headers=key).json()["id"]
        assert http.post(f"/v1/jobs/{job}/cancel", headers=retry_key).status_code == 200
        token = http.headers["Authorization"]
        gateway.process.send_signal(signal.SIGKILL)
        gateway.process.wait()
    with running_gateway(cluster) as gateway, gateway.http("") as http:
        http.headers["Authorization"] = token
        interrupt(cluster, key["Idempotency-Key"])
        before = jobs(http)
        assert http.post("/v1/jobs", json=body, headers=key).json()["id"] == job
        interrupt(cluster, retry_key["Idempotency-Key"])
        # Cancelling twice is cancelling.
        assert http.post(f"/v1/jobs/{job}/cancel", headers=retry_key).status_code == 200
        assert jobs(http) == before


@pytest.mark.usefixtures("digits_version")
def test_after_a_kill_a_prediction_leads_to_its_job(cluster: Cluster, http: httpx.Client) -> None:
    key, path = new_key(), "/v1/models/digits:1/predict"
    rows = {"rows": digits.digits()[0][:2].tolist()}
    answered = http.post(path, json=rows, headers=key)
    assert answered.status_code == 200, answered.text
    interrupt(cluster, key["Idempotency-Key"])
    again = http.post(path, json=rows, headers=key)
    assert (again.status_code, again.json()) == (200, answered.json())
    assert "idempotency-replayed" not in again.headers


def test_a_request_that_may_have_had_its_effect_is_not_run_again(gateway: RunningGateway, http: httpx.Client) -> None:
    key = new_key()
    answers = gateway.cluster.ledger.kept_answers
    path = f"/v1/jobs/{uuid4()}/retry"
    assert http.post(path, headers=key).status_code == 404  # released: it had no effect
    # In its middle, it ends without an answer.
    request = _digest_of(http, path)
    held = answers.take("search-team", key["Idempotency-Key"], request)
    assert isinstance(held, HeldKey)
    busy = http.post(path, headers=key)
    assert (busy.status_code, busy.json()["code"]) == (409, "in_progress")
    assert int(busy.headers["retry-after"]) > 0
    answers.hold(held, 0)
    refused = http.post(path, headers=key)
    assert (refused.status_code, refused.json()["code"]) == (409, "interrupted")


def test_old_answers_are_removed(cluster: Cluster) -> None:
    answers = cluster.ledger.kept_answers
    held = answers.take("old-team", "k", b"1")
    assert isinstance(held, HeldKey)
    with cluster.ledger.database.transaction() as conn:
        conn.execute("UPDATE kept_answers SET expires_at = now() WHERE producer = 'old-team'")
    answers.remove_old()
    taken = answers.take("old-team", "k", b"2")
    assert isinstance(taken, HeldKey)
    assert not taken.is_repeated


def _digest_of(http: httpx.Client, path: str) -> bytes:
    """What the gateway tells a POST without a body by."""
    token = http.headers["Authorization"].split("_")[1]
    head = "\0".join(["POST", path, "", token]).encode()
    return hashlib.sha256(head + b"\0" + hashlib.sha256(b"").digest()).digest()
