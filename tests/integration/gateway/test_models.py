"""Models and the cluster over HTTP, against the Python client and the ledger."""

from __future__ import annotations

import json
from collections.abc import Iterator
from urllib.parse import quote

import httpx
import openai
import pytest

from longshore.producers import Client
from longshore.producers.documents.json_text import to_json
from longshore.producers.documents.models import change_document, version_document
from tests.integration import digits
from tests.integration.cluster import Cluster
from tests.integration.gateway.answers import field_of, listed
from tests.integration.gateway_beside import RunningGateway
from tests.waiting import TIMEOUT_S

IMAGES, LABELS = digits.digits()
NAME = "team-a/digits_2.0"
#: Ends like a route.
TRAP = "team-a/versions"


@pytest.fixture(scope="module")
def own(cluster: Cluster) -> Iterator[Client]:
    """A Python client, with three versions of one model and one of another."""
    data = digits.table(IMAGES[:50], LABELS[:50])
    with cluster.client(producer="search-team") as client:
        for name in (NAME, NAME, NAME, TRAP):
            client.train(name, "linear", data, "label", epochs=1).wait(TIMEOUT_S)
        yield client


def test_models_and_versions(http: httpx.Client, own: Client) -> None:
    models = listed(http, "/v1/models", limit=1)
    assert [model["id"] for model in models] == [NAME, TRAP]
    assert models[0].items() >= json.loads(to_json(own.models.list()[0])).items()
    assert (models[0]["object"], models[0]["created"]) == ("model", int(own.models.list()[0].created_at.timestamp()))
    for path in (NAME, quote(NAME, safe="")):
        versions = listed(http, f"/v1/models/{path}/versions", limit=2)
        assert versions == json.loads(to_json([version_document(each) for each in own.models.versions(NAME)]))
        for reference in (f"{path}:2", f"{path}%3A2"):
            shown = http.get(f"/v1/models/{reference}").json()
            assert shown.items() >= versions[1].items()
            assert (shown["id"], shown["object"]) == (f"{NAME}:2", "model")
    assert [each["model"] for each in listed(http, f"/v1/models/{TRAP}/versions")] == [TRAP]
    assert http.get(f"/v1/models/{TRAP}:1").json()["model"] == TRAP
    assert http.get(f"/v1/models/{NAME}").json()["version"] == 3
    for missing in ("none", f"{NAME}:9", f"{NAME}@none", "none/versions"):
        assert field_of(http.get(f"/v1/models/{missing}"), 404) == "model"
    for wrong in ("A", "%C3%A9", "a%20b", "..%2Fa", "x:0", "a%00"):
        assert field_of(http.get(f"/v1/models/{wrong}")) == "model"


def test_openai_lists_and_retrieves_them(gateway: RunningGateway, own: Client) -> None:
    with openai.OpenAI(base_url=f"{gateway.url}/v1", api_key=gateway.token(), timeout=TIMEOUT_S) as client:
        assert [model.id for model in client.models.list()] == [NAME, TRAP]
        assert client.models.retrieve(f"{NAME}:1").owned_by == "longshore"


def test_a_name_with_a_slash_predicts(http: httpx.Client, own: Client) -> None:
    for path in (f"{NAME}:1", quote(f"{NAME}:1", safe="")):
        answer = http.post(f"/v1/models/{path}/predict", json={"rows": [{"pixels": IMAGES[0].tolist()}]})
        assert (answer.status_code, answer.json()["model"]) == (200, NAME)


def test_aliases(http: httpx.Client, own: Client) -> None:
    def promote(reference: str, **body: str) -> httpx.Response:
        return http.post(f"/v1/models/{reference}/promote", json=body)

    assert promote(f"{NAME}:1", alias="production").json() == {"model": NAME, "alias": "production", "version": 1}
    moved = promote(f"{NAME}:2", alias="production", **{"if": "train_loss >= 0"})
    assert moved.status_code == 200, moved.text
    refused = promote(f"{NAME}:3", alias="production", **{"if": "accuracy > 1"})
    assert (refused.status_code, refused.json()["code"]) == (409, "not_promoted")
    assert field_of(promote(f"{NAME}:3", alias="production", **{"if": "accuracy >"})) == "if"
    assert field_of(promote(f"{NAME}:3", alias="1")) == "alias"
    assert http.get(f"/v1/models/{NAME}@production").json()["version"] == 2
    path = f"/v1/models/{NAME}@production/rollback"
    plan = http.post(path, json={"dry_run": True}).json()
    assert plan == {"model": NAME, "alias": "production", "version": 1, "previous": 2, "dry_run": True}
    assert http.post(path).json() == {**plan, "dry_run": False}
    assert field_of(http.post(path, json={"to": "1"})) == "to"
    promote(f"{NAME}:3", alias="canary").raise_for_status()
    assert [each["alias"] for each in listed(http, f"/v1/models/{NAME}/aliases", limit=1)] == ["canary", "production"]
    removed = http.delete(f"/v1/models/{NAME}/aliases/canary")
    assert removed.json() == {"model": NAME, "alias": "canary", "version": 3}
    assert field_of(http.delete(f"/v1/models/{NAME}/aliases/canary"), 404) == "alias"
    history = listed(http, f"/v1/models/{NAME}/history", limit=2)
    assert history == json.loads(to_json([change_document(change) for change in own.models.history(NAME)]))
    assert [change["action"] for change in history] == ["moved", "moved", "rolled back", "moved", "removed"]
    assert {change["by"] for change in history} == {"search-team"}
    assert len(listed(http, f"/v1/models/{NAME}/history", alias="canary")) == 2


def test_a_version_that_nobody_uses_is_deleted(http: httpx.Client, gateway: RunningGateway, own: Client) -> None:
    name = "deleted/model"
    for _ in range(2):
        own.train(name, "linear", digits.table(IMAGES[:50], LABELS[:50]), "label", epochs=1).wait(TIMEOUT_S)
    with gateway.http(producer="other-team") as other:
        body = {"kind": "infer", "model": f"{name}:1", "data": [{"pixels": [0.0] * 64}], "options": {"device": "gpu"}}
        job = other.post("/v1/jobs", json=body).raise_for_status().json()["id"]
        used = http.delete(f"/v1/models/{name}:1")
        assert (used.status_code, used.json()["code"]) == (409, "version_in_use")
        other.post(f"/v1/jobs/{job}/cancel").raise_for_status()
    plan = http.delete(f"/v1/models/{name}:1", params={"dry_run": True}).json()
    assert (plan["version"], plan["deleted"]) == (1, False)
    assert http.delete(f"/v1/models/{name}:1").json() == {**plan, "deleted": True}
    assert http.get(f"/v1/models/{name}:1").status_code == 404
    assert [each["version"] for each in listed(http, f"/v1/models/{name}/versions")] == [2]
    assert field_of(http.delete(f"/v1/models/{name}")) == "model"
    deletions = [change for change in own.models.history(name) if change.action == "deleted"]
    assert [(change.version, change.set_by) for change in deletions] == [(1, "search-team")]


def test_what_a_token_may_do_with_models(gateway: RunningGateway, own: Client) -> None:
    with gateway.http(gateway.token(models=["team-b/*"])) as http:
        assert http.get("/v1/models").json()["data"] == []
        for path in ("", ":1", "/versions", "/history", "/aliases"):
            known, unknown = (http.get(f"/v1/models/{name}{path}") for name in (NAME, "nothing"))
            assert known.status_code == unknown.status_code == 403
        assert http.post(f"/v1/models/{NAME}:1/promote", json={"alias": "x"}).status_code == 403
        assert http.delete(f"/v1/models/{NAME}:1").status_code == 403
        missing = http.get("/v1/models/team-b/none")
        assert (missing.status_code, NAME in missing.text) == (404, False)
    with gateway.http(gateway.token(scopes=["models:read"])) as http:
        assert http.post(f"/v1/models/{NAME}:1/promote", json={"alias": "x"}).status_code == 403
        assert http.post(f"/v1/models/{NAME}/rollback").status_code == 403
        assert http.delete(f"/v1/models/{NAME}:1").status_code == 403


def test_the_cluster_shows_own_jobs_only(http: httpx.Client, gateway: RunningGateway, own: Client) -> None:
    [worker] = listed(http, "/v1/workers")
    assert (worker["device"], worker["alive"], worker["queue"]) == ("cpu:0", True, "cpu")
    queues = [{"name": "cpu", "workers": 1, "devices": 1}, {"name": "gpu", "workers": 0, "devices": 0}]
    assert http.get("/v1/queues").json()["data"] == queues
    id_ = own.infer(f"{NAME}:1", digits.table(IMAGES[:5]), device="gpu").id
    status = http.get("/v1/status").json()
    assert (status["producer"], status["workers"], status["queues"]) == ("search-team", 1, queues)
    assert status["jobs"]["queued"] == 1
    with gateway.http(producer="other-team") as other:
        assert other.get("/v1/status").json()["jobs"]["queued"] == 0
        assert "search-team" not in other.get("/v1/workers").text
    own.job(id_).cancel()
    with gateway.http(gateway.token(scopes=["jobs:read"])) as lesser:
        assert [lesser.get(f"/v1/{path}").status_code for path in ("workers", "queues", "status")] == [403] * 3
