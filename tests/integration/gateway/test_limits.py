"""What the callers with a token may use, counted over all gateways."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from pathlib import Path

import httpx
import psycopg
import pytest
import redis

from longshore.broker.gateway.rate_limits import KEY, UNSETTLED_KEY
from longshore.producers import Client
from longshore.shared.errors import InvalidInput
from longshore.shared.ledger.gateway.tokens import AccessLimits, Scope
from tests.integration.gateway.access_table import MODEL
from tests.integration.gateway_beside import RunningGateway, running_gateway
from tests.integration.support import new_job, together
from tests.waiting import wait_until

PRODUCER = "limited-team"
#: For a process that has none of its own in the environment.
NO_CREDENTIALS = {
    **dict.fromkeys(("AWS_SHARED_CREDENTIALS_FILE", "AWS_CONFIG_FILE"), "/none"),
    **{"AWS_ACCESS_KEY_ID": "", "AWS_EC2_METADATA_DISABLED": "true"},
}


@pytest.fixture(scope="module")
def second(gateway: RunningGateway) -> Iterator[RunningGateway]:
    """Another gateway of the same cluster."""
    with running_gateway(gateway.cluster) as second:
        yield second


def limited(gateway: RunningGateway, limits: AccessLimits) -> tuple[str, str]:
    """A token, and its id."""
    token = gateway.token(PRODUCER, limits=limits)
    return token, token.split("_")[1]


def infer(http: httpx.Client, rows: int) -> httpx.Response:
    return http.post("/v1/jobs", json={"kind": "infer", "model": MODEL, "data": [{"x": 1.0}] * rows})


def test_requests_are_counted_over_all_gateways(gateway: RunningGateway, second: RunningGateway) -> None:
    token, _ = limited(gateway, AccessLimits(requests_per_minute=4))
    with gateway.http(token) as first, second.http(token) as other:
        answers = [http.get("/v1/jobs") for http in (first, other, first, other)]
        assert [answer.status_code for answer in answers] == [200] * 4
        assert answers[0].headers["ratelimit-policy"] == '"requests";q=4;w=60'
        left = [answer.headers["ratelimit"].split(";")[1] for answer in answers]
        assert left == ["r=3", "r=2", "r=1", "r=0"]
        refused = other.post("/v1/jobs", content=b"not read")
        assert (refused.status_code, refused.json()["code"]) == (429, "rate_limited")
        assert 0 < int(refused.headers["retry-after"]) <= 15
        assert '"requests";r=0' in refused.headers["ratelimit"]


def test_a_revoked_token_is_refused_by_every_gateway(gateway: RunningGateway, second: RunningGateway) -> None:
    token = gateway.token(PRODUCER)
    with gateway.http(token) as first, second.http(token) as other:
        assert [http.get("/v1/jobs").status_code for http in (first, other)] == [200, 200]
        gateway.cluster.ledger.tokens.revoke(token.split("_")[1])
        for http in (first, other):
            wait_until(lambda http=http: http.get("/v1/jobs").status_code == 401, "the announcement")  # type: ignore[misc]


def test_rows_are_counted_at_submission_and_given_back_if_refused(gateway: RunningGateway) -> None:
    token, id_ = limited(gateway, AccessLimits(rows_per_day=10))
    with gateway.http(token) as http:
        assert infer(http, 11).status_code == 422
        # Only where text is generated are these the messages of one row.
        rows = [{"role": "user", "content": "a"}] * 11
        for kind, status in (("infer", 422), ("generate", 404)):
            assert http.post("/v1/jobs", json={"kind": kind, "model": MODEL, "data": rows}).status_code == status
        refused = infer(http, 6)
        assert refused.status_code == 404, "there is no such model"
        assert '"rows";r=10' in refused.headers["ratelimit"]
        drain(gateway, "rows", id_)
        for path, body in (
            ("/v1/jobs/batch", {"requests": [{"kind": "infer", "model": MODEL, "data": [{"x": 1.0}]}]}),
            (f"/v1/models/{MODEL}/predict", {"rows": [{"x": 1.0}]}),
            (f"/v1/models/{MODEL}/generate", {"prompt": "a"}),
            (f"/v1/models/{MODEL}/generate", {"prompt": "a", "stream": True}),
            ("/v1/completions", {"model": MODEL, "prompt": "a"}),
            ("/v1/chat/completions", {"model": MODEL, "messages": [{"role": "user", "content": "a"}], "stream": True}),
        ):
            answer = http.post(path, json=body)
            assert (answer.status_code, answer.json()["code"]) == (429, "rate_limited"), path
            assert int(answer.headers["retry-after"]) > 0


def drain(gateway: RunningGateway, name: str, id: str) -> None:
    with redis.Redis.from_url(gateway.cluster.settings.redis_url) as client:
        client.hset(f"{KEY}{name}:{id}", mapping={"left": 0})


def test_the_tokens_of_a_job_are_counted_once_when_it_has_ended(gateway: RunningGateway) -> None:
    token, id_ = limited(gateway, AccessLimits(tokens_per_day=100))
    job = gateway.cluster.ledger.submissions.submit([new_job(1, producer=PRODUCER, queue="gpu")])[0]
    with gateway.http(token) as http, redis.Redis.from_url(gateway.cluster.settings.redis_url) as client:
        client.sadd(f"{UNSETTLED_KEY}{id_}", str(job))
        assert infer(http, 1).status_code == 404, "it has not ended"
        with psycopg.connect(gateway.cluster.settings.database_url) as conn:
            usage = '{"prompt_tokens": 90, "completion_tokens": 60}'
            conn.execute("UPDATE jobs SET state = 'succeeded', usage = %s WHERE id = %s", [usage, job])
        for _ in range(2):
            answer = infer(http, 1)
            assert (answer.status_code, answer.json()["code"]) == (429, "rate_limited")
            # 50 more than it may, and one to go on: half a day.
            assert 43_000 < int(answer.headers["retry-after"]) <= 44_064
        assert http.get("/v1/jobs").is_success, "what makes no tokens goes on"


def test_the_tokens_of_a_job_that_runs_again_are_counted_too(gateway: RunningGateway) -> None:
    token, _ = limited(gateway, AccessLimits(tokens_per_day=1000))
    ledger = gateway.cluster.ledger
    job = ledger.submissions.submit([new_job(1, producer=PRODUCER, queue="gpu")])[0]

    def end(tokens: int) -> None:
        ledger.control.cancel(job)
        with psycopg.connect(gateway.cluster.settings.database_url) as conn:
            usage = f'{{"prompt_tokens": {tokens - 1}, "completion_tokens": 1}}'
            conn.execute("UPDATE jobs SET usage = %s WHERE id = %s", [usage, job])

    with gateway.http(token) as http:
        left = []
        # 300 of somebody else, 50 of this token, twice as many of two runs that nobody has counted between.
        for tokens in (300, 350, 370, 450):
            end(tokens)
            if tokens != 370:
                left.append(infer(http, 1).headers["ratelimit"].split(";")[1])
            assert http.post(f"/v1/jobs/{job}/retry").is_success
        assert left == ["r=1000", "r=950", "r=850"]


def test_jobs_that_have_not_ended_are_limited(gateway: RunningGateway) -> None:
    producer = "queueing-team"
    token = gateway.token(producer, limits=AccessLimits(queued_jobs=2))
    jobs = gateway.cluster.ledger.submissions.submit([new_job(1, producer=producer, queue="gpu") for _ in range(2)])
    with gateway.http(token) as http:
        answer = infer(http, 1)
        assert (answer.status_code, answer.json()["code"]) == (429, "queue_full")
        assert gateway.cluster.ledger.control.cancel(jobs[0])
        assert infer(http, 1).status_code == 404


def test_calls_at_the_same_moment_stay_within_the_limit_of_open_jobs(
    gateway: RunningGateway, second: RunningGateway
) -> None:
    producer, ledger = "crowded-team", gateway.cluster.ledger
    limits = AccessLimits(queued_jobs=4)
    ended = ledger.submissions.submit([new_job(1, producer=producer, queue="gpu") for _ in range(6)])
    for job in ended:
        ledger.control.cancel(job)
    train = {"kind": "train", "model": "crowded", "family": "linear", "target": "y", "data": [{"x": 1.0, "y": 1.0}] * 9}
    body = {**train, "options": {"device": "gpu"}}
    with (
        gateway.http(gateway.token(producer, limits=limits)) as first,
        second.http(gateway.token(producer, limits=limits)) as other,
    ):
        for paths, content in ((["/v1/jobs"] * 6, body), ([f"/v1/jobs/{job}/retry" for job in ended], None)):
            https = [first, other] * 3
            calls = [partial(http.post, path, json=content) for http, path in zip(https, paths, strict=True)]
            answers = together(*calls)
            assert sorted(answer.status_code // 100 for answer in answers) == [2] * 4 + [4] * 2, answers
            refused = [answer.json() for answer in answers if answer.status_code == 429]
            assert [each["code"] for each in refused] == ["queue_full"] * 2
            assert "at most 4 jobs of crowded-team" in refused[0]["detail"]
            for answer in answers:
                if answer.is_success:
                    assert first.post(f"/v1/jobs/{answer.json()['id']}/cancel").is_success


def test_a_caller_names_no_files_but_those_that_the_operator_allows(gateway: RunningGateway, tmp_path: Path) -> None:
    data = {"LONGSHORE_GATEWAY_DATA": "/allowed,s3://bucket/rows", **NO_CREDENTIALS}
    [job] = gateway.cluster.ledger.submissions.submit([new_job(1, producer="search-team", queue="gpu")])
    with running_gateway(gateway.cluster, data) as guarded, guarded.http(guarded.token(scopes=[*Scope])) as http:
        for address, is_allowed in {
            "/allowed/rows.parquet": True,
            "file:///allowed/rows.parquet": True,
            "s3://bucket/rows/a.parquet": True,
            "/etc/passwd": False,
            "/allowedx/rows.parquet": False,
            "/allowed/../etc/rows.csv": False,
            "simplecache::file:///etc/rows.csv": False,
            "s3://bucket/rows/a.csv::file:///etc/rows.csv": False,
            "rows.csv": False,
            "s3://bucket/rows-of-others/a.csv": False,
            "s3://bucket/rows/../a.csv": False,
            "http://169.254.169.254/rows.csv": False,
        }.items():
            for body in ({"data": address}, {"data": [{"x": 1.0}], "options": {"output": f"{address}/*.parquet"}}):
                answer = http.post("/v1/jobs", json={"kind": "infer", "model": MODEL, **body})
                refused = answer.status_code == 422 and "callers may name files below" in answer.json()["detail"]
                assert refused != is_allowed, (address, answer.text)
        for split in ("validation", "test"):
            train = {"kind": "train", "model": MODEL, "family": "linear", "target": "y", "data": [{"x": 1.0, "y": 1.0}]}
            answer = http.post("/v1/jobs", json={**train, "options": {split: "/etc/rows.csv"}})
            assert answer.status_code == 422
            assert f"options.{split}: callers may name files below" in answer.json()["detail"]
        # What the gateway itself may not read is not for the caller to try again.
        for address in ("s3://bucket/rows/a.parquet", "s3://bucket/rows/*.parquet"):
            answer = http.post("/v1/jobs", json={**train, "data": address})
            assert (answer.status_code, answer.json()["errors"][0]["field"]) == (422, "data"), answer.text
            assert "AWS_ACCESS_KEY_ID" in answer.json()["detail"]
            with Client(guarded.url, token=guarded.token()) as client, pytest.raises(InvalidInput, match="no credenti"):
                client.train(MODEL, "linear", address, "y")
        # Whether this machine has a file with such a name is not said.
        there = tmp_path / "a b"
        there.touch()
        form = {"format": "csv"}
        for path, more in (
            (f"/v1/jobs/{job}/then", {}),
            ("/v1/jobs", {"model": MODEL}),
        ):
            answer = http.post(path, json={"kind": "generate", "data": "s3://other/a b", "options": form, **more})
            assert answer.status_code == 422
            assert "callers may name files below" in answer.json()["detail"]
        for text in (str(there), str(tmp_path / "c d")):
            answer = http.post("/v1/jobs", json={"kind": "generate", "model": MODEL, "data": text})
            assert answer.status_code == 404, answer.text
