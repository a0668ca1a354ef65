"""Jobs over HTTP, each to its row in Postgres and to what the Python client says of it."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from uuid import UUID

import httpx
import pytest

from longshore.producers import Client
from longshore.producers.documents.jobs import job_document
from longshore.producers.documents.json_text import to_json
from tests.integration import digits
from tests.integration.cluster import Cluster
from tests.integration.gateway.answers import ended, field_of, listed
from tests.integration.gateway_beside import RunningGateway

pytestmark = pytest.mark.usefixtures("digits_version")
IMAGES, LABELS = digits.digits()
ROWS = [{"pixels": image.tolist()} for image in IMAGES[:20]]
LABELLED = [{**row, "label": int(label)} for row, label in zip(ROWS, LABELS, strict=False)]
BODY = {"kind": "infer", "model": "digits:1", "data": ROWS}


@pytest.fixture(scope="module")
def own(cluster: Cluster) -> Iterator[Client]:
    """The Python client of the producer that calls."""
    with cluster.client(producer="search-team") as client:
        yield client


def test_a_job_is_what_the_client_says_of_it(http: httpx.Client, own: Client) -> None:
    answer = http.post("/v1/jobs", json={**BODY, "options": {"rows_per_shard": 7, "top_k": 2}})
    assert answer.status_code == 201
    id_ = answer.json()["id"]
    assert answer.headers["location"] == f"/v1/jobs/{id_}"
    document = ended(http, id_)
    job = own.job(UUID(id_))
    assert document == json.loads(to_json(job_document(job.record())))
    assert document["state"] == "succeeded"
    assert document["producer"] == "search-team"
    assert document["shards_total"] == 3
    assert http.get(f"/v1/jobs/{id_.upper()}").json() == document
    shards = listed(http, f"/v1/jobs/{id_}/shards", limit=2)
    assert [shard["start"] for shard in shards] == [0, 7, 14]
    assert http.get(f"/v1/jobs/{id_}/why").json()["reason"] == job.why().reason
    assert listed(http, f"/v1/jobs/{id_}/chain") == [{"id": id_, "state": "succeeded", "after": None}]
    assert listed(http, f"/v1/jobs/{id_}/rows_not_run") == []
    assert http.post(f"/v1/jobs/{id_}/cancel").json() == document


def test_each_kind_runs(http: httpx.Client, own: Client, tmp_path: Path) -> None:
    data = str(digits.write(tmp_path / "digits.parquet", 200))
    train = {"model": "new", "family": "linear", "data": data, "target": "label"}
    space = {"learning_rate": [0.1, 0.01]}
    bodies: list[dict[str, object]] = [
        {"kind": "train", **train, "options": {"epochs": 2}},
        {"kind": "tune", **train, "space": space, "options": {"trials": 2, "epochs": 1}},
        {"kind": "cross_validate", **train, "options": {"folds": 2, "epochs": 1}},
        {"kind": "evaluate", "model": "digits:1", "data": LABELLED},
        {"kind": "infer", "model": "digits:1", "data": [row["pixels"] for row in ROWS]},
    ]
    answer = http.post("/v1/jobs/batch", json={"requests": bodies})
    assert answer.status_code == 201, answer.text
    train_id, tune_id, folds_id, evaluate_id, infer_id = [str(job["id"]) for job in answer.json()["data"]]
    ends = [ended(http, id_) for id_ in (train_id, tune_id, folds_id, evaluate_id, infer_id)]
    assert [(end["kind"], end["state"]) for end in ends] == [(body["kind"], "succeeded") for body in bodies]
    metrics = listed(http, f"/v1/jobs/{train_id}/metrics", limit=1)
    assert {metric["step"] for metric in metrics} == {1, 2}
    assert len({(metric["step"], metric["name"]) for metric in metrics}) == len(metrics)
    assert [trial["number"] for trial in listed(http, f"/v1/jobs/{tune_id}/trials", limit=1)] == [0, 1]
    assert len(listed(http, f"/v1/jobs/{folds_id}/trials")) == 2
    evaluation = http.get(f"/v1/jobs/{evaluate_id}/evaluation").json()
    assert evaluation == own.job(evaluate_id).evaluation().model_dump(mode="json")
    assert field_of(http.get(f"/v1/jobs/{infer_id}/evaluation")) == "job"
    assert field_of(http.get(f"/v1/jobs/{evaluate_id}/parts")) == "job"
    assert field_of(http.get(f"/v1/jobs/{train_id}/rows_not_run")) == "job"
    longer = http.post(f"/v1/jobs/{train_id}/extend", json={"epochs": 1})
    assert (longer.status_code, ended(http, longer.json()["id"])["extends"]) == (201, train_id)
    assert "epoch" in http.get(f"/v1/jobs/{train_id}/logs").text.lower()


def test_a_chain(http: httpx.Client, cluster: Cluster, gateway: RunningGateway) -> None:
    body = {"kind": "train", "model": "chained", "family": "linear", "data": LABELLED, "target": "label"}
    first = http.post("/v1/jobs", json={**body, "options": {"epochs": 1}}).json()["id"]

    def then(after: str, **body: object) -> str:
        answer = http.post(f"/v1/jobs/{after}/then", json=body)
        assert answer.status_code == 201, answer.text
        return str(answer.json()["id"])

    measured = then(first, kind="evaluate", data=LABELLED)
    promoted = then(measured, kind="promote", alias="production", **{"if": "accuracy >= 0"})
    last = then(promoted, kind="infer", data=ROWS, options={"top_k": 1})
    assert ended(http, last)["state"] == "succeeded"
    chain = listed(http, f"/v1/jobs/{last}/chain")
    assert [(link["id"], link["after"]) for link in chain] == [
        (first, None),
        (measured, first),
        (promoted, measured),
        (last, promoted),
    ]
    assert cluster.ledger.models.names()[0].aliases == {"production": 1}
    promotion = {"kind": "promote", "alias": "production"}
    with gateway.http(gateway.token(scopes=["jobs:read", "jobs:write"])) as lesser:
        assert lesser.post(f"/v1/jobs/{first}/then", json=promotion).status_code == 403
    assert field_of(http.post(f"/v1/jobs/{first}/then", json={**promotion, "if": "accuracy >"})) == "if"
    wrong = {"kind": "infer", "data": ROWS, "options": {"data": 1}}
    assert field_of(http.post(f"/v1/jobs/{first}/then", json=wrong)) == "options.data"


def test_errors_of_rows_and_a_retry(http: httpx.Client) -> None:
    short = [*ROWS[:3], {"pixels": [1.0, 2.0]}, *ROWS[:2], {"pixels": None}]
    answer = http.post("/v1/jobs", json={"kind": "infer", "model": "digits:1", "data": short, "options": {"keep": []}})
    id_ = answer.json()["id"]
    assert ended(http, id_)["state"] == "failed"
    errors = listed(http, f"/v1/jobs/{id_}/errors", limit=1)
    assert [error["row"] for error in errors] == [3, 6]
    again = http.post(f"/v1/jobs/{id_}/retry", json={"rows": "failed"})
    assert (again.status_code, again.json()["error"]) == (200, None)
    assert ended(http, id_)["failed"] == 2


WRONG = [
    ({**BODY, "options": {"batch_size": "x"}}, "options.batch_size"),
    ({**BODY, "options": {"batch_sise": 1}}, "options.batch_sise"),
    ({**BODY, "options": {"data": 1, "model": "x"}}, "options.data"),
    ({**BODY, "options": {"priority": 1e40}}, "options.priority"),
    ({**BODY, "options": {"keep": {"a": [{}]}}}, "options.keep"),
    ({**BODY, "options": {"format": ["csv"]}}, "options.format"),
    ({**BODY, "options": {"idempotency_key": "\0"}}, "options.idempotency_key"),
    ({**BODY, "options": {"timeout": -1}}, "options.timeout"),
    ({**BODY, "options": [1]}, "options"),
    ({**BODY, "priority": 3}, "priority"),
    ({**BODY, "kind": "nothing"}, "kind"),
    ({**BODY, "model": "digits:0"}, "model"),
    ({**BODY, "model": 3}, "model"),
    ({**BODY, "data": []}, "data"),
    ({**BODY, "data": None}, "data"),
    ({**BODY, "data": {"pixels": 3}}, "data"),
    ({**BODY, "data": [[[1, 2], [3]]]}, "data"),
    ({**BODY, "data": [[10**400]]}, "data"),
    ({**BODY, "data": [{"pixels": [10**30] * 64}]}, "data"),
    ({**BODY, "data": "/etc/passwd"}, "data"),
    ({**BODY, "data": "/nowhere/\0.csv"}, "data"),
    ({"kind": "infer", "model": "digits:1"}, "data"),
    ({"kind": "train", "model": "x", "family": "mlp", "data": LABELLED, "target": "none"}, "target"),
    ({"kind": "tune", "model": "x", "family": "mlp", "data": LABELLED, "target": "label", "space": 3}, "space"),
    ({"kind": "generate", "model": "digits:1", "data": ["a"]}, "model"),
]


@pytest.mark.parametrize(("body", "field"), WRONG)
def test_what_is_wrong_is_named(http: httpx.Client, body: dict[str, object], field: str) -> None:
    headers = {"content-type": "application/json"}
    assert field_of(http.post("/v1/jobs", content=json.dumps(body), headers=headers)) == field


def test_an_unknown_base_is_named(http: httpx.Client) -> None:
    body = {"kind": "train", "model": "x", "family": "mlp", "data": LABELLED, "target": "label"}
    assert field_of(http.post("/v1/jobs", json={**body, "options": {"base": "no"}}), 404) == "options.base"


def test_what_is_wrong_in_one_of_many_is_named(http: httpx.Client, cluster: Cluster) -> None:
    before = http.get("/v1/jobs", params={"limit": 1}).json()["data"][0]["id"]
    for wrong, field in (
        ({**BODY, "options": {"batch_size": "x"}}, "requests[1].options.batch_size"),
        ({**BODY, "data": 3}, "requests[1].data"),
        ({**BODY, "model": None}, "requests[1].model"),
        ({**BODY, "model": "unknown"}, "requests[1].model"),
    ):
        status = 404 if wrong["model"] == "unknown" else 422
        assert field_of(http.post("/v1/jobs/batch", json={"requests": [BODY, wrong]}), status) == field
    alone = {**BODY, "options": {"batch_size": "x"}}
    assert field_of(http.post("/v1/jobs/batch", json={"requests": [alone]})) == "requests[0].options.batch_size"
    assert http.get("/v1/jobs", params={"limit": 1}).json()["data"][0]["id"] == before


def test_pages_stay_when_jobs_are_added(http: httpx.Client) -> None:
    submitted = [job["id"] for job in http.post("/v1/jobs/batch", json={"requests": [BODY] * 5}).json()["data"]]
    page = http.get("/v1/jobs", params={"limit": 2, "kind": ["infer", "train"], "model": "digits:1"}).json()
    assert [job["id"] for job in page["data"]] == [submitted[4], submitted[3]]
    http.post("/v1/jobs", json=BODY).raise_for_status()
    following = http.get("/v1/jobs", params={"limit": 2, "cursor": page["next"]}).json()
    assert [job["id"] for job in following["data"]] == [submitted[2], submitted[1]]
    for parameters, field in (
        ({"cursor": "WzFd"}, "cursor"),
        ({"cursor": "no"}, "cursor"),
        ({"limit": 1001}, "limit"),
        ({"state": "done"}, "state[0]"),
        ({"since": "yesterday"}, "since"),
        ({"model": "A B"}, "model"),
    ):
        assert field_of(http.get("/v1/jobs", params=parameters)) == field


def test_only_whole_ids_of_own_jobs_are_found(http: httpx.Client, gateway: RunningGateway) -> None:
    id_ = http.post("/v1/jobs", json=BODY).json()["id"]
    unknown = "01890a5d-ac96-774b-bcce-b302099a8057"
    with gateway.http(producer="other-team") as other:
        assert other.get("/v1/jobs").json()["data"] == []
        for path in ("", "/why", "/shards", "/errors", "/logs", "/metrics", "/trials", "/parts", "/chain"):
            foreign, missing = (other.get(f"/v1/jobs/{each}{path}") for each in (id_, unknown))
            assert foreign.status_code == 404
            assert foreign.text == missing.text.replace(unknown, id_)
        for action in ("cancel", "retry"):
            assert other.post(f"/v1/jobs/{id_}/{action}").status_code == 404
    for wrong in (id_[:13], "@last", id_.replace("-", ""), f"{{{id_}}}", "x" * 200, "%00"):
        assert http.get(f"/v1/jobs/{wrong}").status_code == 404


def test_a_token_for_some_models_names_no_others(gateway: RunningGateway) -> None:
    with gateway.http(gateway.token(models=["other-*"])) as http:
        assert http.post("/v1/jobs", json=BODY).status_code == 403
        train = {"kind": "train", "model": "other-1", "family": "mlp", "data": LABELLED, "target": "label"}
        for options in ({"base": "digits:1"}, {"teacher": "digits"}, {"tokenizer": {"version": "digits:1"}}):
            assert http.post("/v1/jobs", json={**train, "options": options}).status_code == 403
        searched = {**train, "kind": "tune", "space": {"base": ["digits:1"]}}
        assert http.post("/v1/jobs", json=searched).status_code == 403


def test_what_a_token_may_not_submit_it_may_not_run_again(http: httpx.Client, gateway: RunningGateway) -> None:
    train = {"kind": "train", "model": "again", "family": "linear", "data": LABELLED, "target": "label"}
    submitted = {}
    for name, options in {"base": {"base": "digits:1"}, "alias": {"alias": "production"}}.items():
        answer = http.post("/v1/jobs", json={**train, "options": {"epochs": 1, **options}})
        submitted[name] = ended(http, answer.json()["id"])["id"]
    lesser = {"base": gateway.token(models=["again"]), "alias": gateway.token(scopes=["jobs:read", "jobs:write"])}
    for name, token in lesser.items():
        with gateway.http(token) as caller:
            for path, body in (("extend", {"epochs": 1}), ("retry", {})):
                answer = caller.post(f"/v1/jobs/{submitted[name]}/{path}", json=body)
                assert answer.status_code == 403, (name, path, answer.text)
            # What both were submitted with.
            moved = {**train, "options": {"epochs": 1, "alias": "production"}}
            assert caller.post("/v1/jobs", json=moved).status_code == (201 if name == "base" else 403)
            fine = {**train, "options": {"epochs": 1}}
            assert caller.post("/v1/jobs", json=fine).status_code == 201


def test_waiting_ends_with_the_job_or_the_time(http: httpx.Client, cluster: Cluster) -> None:
    id_ = http.post("/v1/jobs", json={**BODY, "options": {"device": "gpu"}}).json()["id"]
    assert http.get(f"/v1/jobs/{id_}", params={"wait": 0.01}).json()["state"] == "queued"
    assert field_of(http.get(f"/v1/jobs/{id_}", params={"wait": "nan"})) == "wait"
    assert http.post(f"/v1/jobs/{id_}/cancel").json()["state"] == "cancelled"
    assert http.get(f"/v1/jobs/{id_}", params={"wait": 60}).json()["state"] == "cancelled"


def test_a_filter_that_there_is_not_lists_nothing(http: httpx.Client) -> None:
    for path in ("/v1/jobs?status=failed&limit=1", "/v1/queues?status=failed"):
        answer = http.get(path)
        assert answer.status_code == 422
        assert field_of(answer) == "status"
    assert http.get("/v1/files?status=failed").status_code == 400  # as OpenAI's API
    assert http.get("/v1/jobs", params={"limit": 1, "state": ["failed", "running"]}).status_code == 200
    assert http.get("/v1/jobs/").status_code == 404
