"""Outputs and texts over HTTP: they are those of the client, and of the rows in Postgres."""

from __future__ import annotations

import asyncio
import json
import os
import signal
from collections.abc import Iterator, Mapping

import httpx
import pytest

from longshore.producers import Client
from longshore.shared.errors import InvalidInput
from tests.integration import digits
from tests.integration.cluster import Cluster
from tests.integration.gateway_beside import RunningGateway, running_gateway
from tests.integration.old_jobs import run_sql
from tests.integration.text_events import Events
from tests.language_models import save_language_model
from tests.waiting import TIMEOUT_S, wait_until

#: Random weights write bytes of half characters between others.
DRAWN = {"temperature": 1.0, "seed": 5, "max_tokens": 60}
#: Of a job, if it gives no other number.
MAX_ATTEMPTS = 3
PROMPTS = ["the cat sat", "stocks rose on Monday"]


@pytest.fixture(scope="module")
def worker_environment() -> Mapping[str, str]:
    return {"LONGSHORE_TEXT_SAVE_INTERVAL": "0.1"}


@pytest.fixture(scope="module")
def client(cluster: Cluster, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Client]:
    """Has digits:1 and chat:1."""
    folder = tmp_path_factory.mktemp("models") / "chat"
    save_language_model(folder)
    images, labels = digits.digits()
    with cluster.client("search-team") as client:
        client.models.import_(folder, "chat")
        client.train("digits", "linear", digits.table(images, labels), "label", epochs=1).wait(TIMEOUT_S)
        yield client


def stream(http: httpx.Client, **body: object) -> Events:
    """All events of an answer."""
    with http.stream("POST", "/v1/models/chat/generate", json={"stream": True, **body}) as answer:
        assert answer.status_code == 200, answer.read()
        return Events(answer.iter_lines()).read()


def check(events: Events, client: Client) -> None:
    """The texts that were added are those of the rows, and these are those in Postgres."""
    assert events.names[0] == "job"
    assert events.names[-1] == "end"
    job = client.job(str(events.last["job"]))
    assert events.rows == {row.row: row.output for row in job.stream()}
    for number, output in events.rows.items():
        choices = output.get("choices", [output])
        assert isinstance(choices, list)
        assert [events.texts[number, index] for index in range(len(choices))] == [each["text"] for each in choices]


def test_a_line_ends_where_every_reader_ends_it(http: httpx.Client, client: Client) -> None:
    """To httpx, for one, more characters end a line than to JSON."""
    text = "one\u2028two\u2029three\x85four"
    events = stream(http, prompt="red", options={"choices": [text]})
    assert events.texts[0, 0] == events.rows[0]["text"] == text
    body = {"model": "chat", "prompt": "red", "guided_choice": [text], "max_tokens": 200, "stream": True}
    with http.stream("POST", "/v1/completions", json=body) as answer:
        assert answer.status_code == 200, answer.read()
        data = [line.removeprefix("data: ") for line in answer.iter_lines() if line.startswith("data: ")]
    assert data.pop() == "[DONE]"
    chunks = [json.loads(each) for each in data]
    assert "".join(choice["text"] for chunk in chunks for choice in chunk["choices"]) == text


def test_outputs_are_those_of_the_client(http: httpx.Client, client: Client) -> None:
    images, _ = digits.digits()
    rows = images[:3].tolist()
    expected = [row.output for row in client.infer("digits:1", images[:3], top_k=2).wait(TIMEOUT_S).results()]
    for body in ({"rows": rows}, {"columns": {"pixels": rows}}, {"rows": [{"pixels": row} for row in rows]}):
        answer = http.post("/v1/models/digits:1/predict", json={**body, "options": {"top_k": 2}})
        assert answer.status_code == 200, answer.text
        document = answer.json()
        assert (document["model"], document["version"], document["errors"]) == ("digits", 1, [])
        assert document["outputs"] == expected
        assert client.job(document["job"]).state == "succeeded"


def test_a_bad_row_has_an_error_and_the_others_their_outputs(http: httpx.Client) -> None:
    images, _ = digits.digits()
    rows = [{"pixels": images[0].tolist()}, {"pixels": None}, {"pixels": images[1].tolist()}]
    document = http.post("/v1/models/digits/predict", json={"rows": rows}).json()
    assert [output is None for output in document["outputs"]] == [False, True, False]
    assert [(each["row"], "pixels" in each["error"]) for each in document["errors"]] == [(1, True)]


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({}, "rows"),
        ({"rows": [[1.0]], "columns": {}}, "columns"),
        ({"columns": {"pixels": 1}}, "columns"),
        ({"rows": "file:///etc/passwd"}, "rows"),
        ({"rows": [[1.0, 2.0]]}, "rows"),
        ({"rows": [[1.0]], "options": {"topk": 1}}, "options.topk"),
        ({"rows": [[1.0]], "options": {"output": "/tmp/*.parquet"}}, "options.output"),
        ({"rows": [[1.0]], "other": 1}, "other"),
        ({"input_ids": [[1, 2]]}, "input_ids"),
        ({"columns": {"pixel": [1.0]}}, "columns"),
    ],
)
def test_what_is_wrong_is_named(http: httpx.Client, client: Client, body: dict[str, object], field: str) -> None:
    answer = http.post("/v1/models/digits/predict", json=body)
    assert answer.status_code == 422, answer.text
    assert [each["field"] for each in answer.json()["errors"]] == [field]


def test_a_parameter_of_the_query_is_refused(http: httpx.Client, client: Client) -> None:
    images, _ = digits.digits()
    answer = http.post("/v1/models/digits/predict", params={"top_k": 2}, json={"rows": images[:1].tolist()})
    assert (answer.status_code, answer.json()["errors"][0]["field"]) == (422, "top_k")


def test_who_does_not_wait_gets_the_job(http: httpx.Client, client: Client) -> None:
    images, _ = digits.digits()
    for prefer in ("respond-async", "wait=0", "handling=lenient, respond-async; x=1"):
        answer = http.post("/v1/models/digits/predict", json={"rows": images[:1].tolist()}, headers={"Prefer": prefer})
        assert answer.status_code == 202
        assert int(answer.headers["retry-after"]) > 0
        job = answer.json()["job"]
        assert answer.headers["location"] == f"/v1/jobs/{job}"
        assert http.get(answer.headers["location"], params={"wait": 60}).json()["state"] == "succeeded"
        assert client.job(job).results().num_rows == 1
    answer = http.post("/v1/models/digits/predict", json={"rows": [[0.0]]}, headers={"Prefer": "wait=soon"})
    assert answer.json()["errors"][0]["field"] == "prefer"


def test_a_job_that_fails_says_why(http: httpx.Client, client: Client) -> None:
    images, _ = digits.digits()
    body = {"rows": [{"pixels": images[0].tolist()}, {"pixels": None}], "options": {"max_row_errors": 0}}
    answer = http.post("/v1/models/digits/predict", json=body)
    assert answer.status_code == 409
    assert "pixels" in answer.json()["detail"]
    assert http.post("/v1/models/nothing/predict", json=body).status_code == 404


def test_a_token_for_other_models_may_not_predict(gateway: RunningGateway) -> None:
    with gateway.http(gateway.token(models=["chat*"])) as http:
        assert http.post("/v1/models/digits/predict", json={"rows": [[0.0]]}).status_code == 403
    with gateway.http(gateway.token(scopes=["jobs:read"])) as http:
        assert http.post("/v1/models/chat/generate", json={"prompt": "a"}).status_code == 403


def test_texts_are_those_of_the_client(http: httpx.Client, client: Client) -> None:
    expected = client.generate("chat", PROMPTS, max_tokens=8).wait(TIMEOUT_S).results().texts
    body = {"prompt": PROMPTS, "options": {"max_tokens": 8}}
    answer = http.post("/v1/models/chat/generate", json=body).json()
    assert [output["text"] for output in answer["outputs"]] == expected
    # One word is a prompt, and no path.
    answer = http.post("/v1/models/chat/generate", json={"prompt": "blue", "options": {"max_tokens": 2}}).json()
    assert answer["outputs"][0]["usage"]["completion_tokens"] == 2


def test_a_job_over_http_has_a_text_for_each_row(gateway: RunningGateway, client: Client, cluster: Cluster) -> None:
    # The second is longer than the model takes, which only its worker knows.
    prompts = [PROMPTS[0], "a" * 20_000, PROMPTS[1]]
    with Client(gateway.url, token=gateway.token()) as remote:
        jobs = [each.generate("chat", prompts, max_tokens=8, max_row_errors=1) for each in (client, remote)]
        here, there = [job.wait(TIMEOUT_S) for job in jobs]
        assert there.texts() == here.texts()
        assert [text is None for text in there.texts()] == [False, True, False]
        assert there.results().texts == [text for text in here.texts() if text is not None]
        assert remote.generate("chat", prompts[1:2], max_row_errors=1).wait(TIMEOUT_S).texts() == [None]
        predicted = remote.infer("digits:1", digits.digits()[0][:1])
        with pytest.raises(InvalidInput, match="only jobs of kind generate write texts"):
            predicted.texts()

    async def read() -> list[str | None]:
        async with cluster.async_client("search-team") as asynchronous:
            return await (await asynchronous.job(here.id)).texts()

    assert asyncio.run(read()) == here.texts()


def test_texts_come_while_they_are_written(http: httpx.Client, client: Client) -> None:
    greedy = stream(http, prompt=PROMPTS, options={"max_tokens": 60})
    check(greedy, client)
    assert greedy.names.count("text") > 4
    assert "restart" not in greedy.names
    expected = client.generate("chat", PROMPTS, max_tokens=60).wait(TIMEOUT_S).results().texts
    assert [greedy.texts[row, 0] for row in range(2)] == expected


@pytest.mark.parametrize(
    "options",
    [
        {"n": 3},
        {"stop": ["e", "th", "\ufffd\ufffd"]},
        {"prefix": "so: "},
        {"regex": "(你|好|🙂|a){12}"},
        {"schema": {"type": "object", "properties": {"a": {"type": "integer"}}, "required": ["a"]}},
        {"min_tokens": 20, "stop": ["a"]},
        {"logprobs": 2},
    ],
)
def test_whatever_is_asked_for_the_texts_are_those_of_the_rows(
    http: httpx.Client, client: Client, options: dict[str, object]
) -> None:
    messages = [[{"role": "user", "content": prompt}] for prompt in PROMPTS]
    events = stream(http, messages=messages, options={**DRAWN, **options})
    check(events, client)
    assert events.rows.keys() | events.errors.keys() == {0, 1}
    assert "restart" not in events.names


def test_bad_rows_of_a_stream_have_errors(http: httpx.Client, client: Client) -> None:
    events = stream(http, prompt=["the cat", "a " * 600, "a dog"], options={"max_tokens": 4})
    check(events, client)
    assert events.rows.keys() == {0, 2}
    assert "tokens" in events.errors[1]
    many = stream(http, prompt=["", *["a dog", ""] * 1100], options={"max_tokens": 1})
    assert many.rows.keys() == {*range(1, 2201, 2)}
    assert many.errors.keys() == {*range(0, 2201, 2)}
    refused = http.post("/v1/models/chat/generate", json={"prompt": "a", "stream": True, "options": {"n": 0}})
    assert refused.status_code == 422
    assert refused.json()["errors"][0]["field"] == "options.n"


def test_two_readers_have_their_own_texts(gateway: RunningGateway, client: Client) -> None:
    with gateway.http() as one, gateway.http() as other:
        body = {"stream": True, "prompt": PROMPTS, "options": {"max_tokens": 40}}
        with (
            one.stream("POST", "/v1/models/chat/generate", json=body) as first,
            other.stream("POST", "/v1/models/chat/generate", json={**body, "options": DRAWN}) as second,
        ):
            events = [Events(each.iter_lines()) for each in (first, second)]
            for each in events:
                check(each.read(), client)
        assert events[0].last["job"] != events[1].last["job"]


def test_who_hangs_up_cancels_its_stream_and_nothing_else(http: httpx.Client, client: Client) -> None:
    body = {"stream": True, "prompt": ["the cat sat"] * 40, "options": {"max_tokens": 400, "min_tokens": 400}}
    with http.stream("POST", "/v1/models/chat/generate", json=body) as answer:
        events = Events(answer.iter_lines()).read("job")
    job = client.job(str(events.last["job"]))
    wait_until(lambda: job.state == "cancelled", "the end of the job")


@pytest.mark.parametrize("options", [{}, {"temperature": 1.0}])
def test_a_worker_that_is_killed_while_texts_are_streamed(
    http: httpx.Client, cluster: Cluster, client: Client, options: dict[str, object]
) -> None:
    # So many that they are still written when it is seen that they are saved.
    prompts = PROMPTS * 30
    body = {"stream": True, "prompt": prompts, "options": {"max_tokens": 400, "min_tokens": 400, **options}}
    [pid] = cluster.child_pids()
    with http.stream("POST", "/v1/models/chat/generate", json=body) as answer:
        events = Events(answer.iter_lines()).read("text")
        wait_until(lambda: run_sql(cluster.ledger, "SELECT 1 FROM partial_texts") != [], "a text that is saved")
        os.kill(pid, signal.SIGKILL)
        check(events.read(), client)
    # A second attempt goes on: greedily it writes the same, otherwise other words after those that were saved.
    assert ("restart" in events.names) <= bool(options)
    # One that joins a session that ends is handed back, which is no attempt.
    [shard] = client.job(str(events.last["job"])).shards()
    assert shard.attempt - (shard.attempt_limit - MAX_ATTEMPTS) == 2


def test_a_gateway_that_is_killed_leaves_the_job(cluster: Cluster, client: Client) -> None:
    with running_gateway(cluster) as gateway, gateway.http() as http:
        prompts = PROMPTS * 10
        body = {"stream": True, "prompt": prompts, "options": {"max_tokens": 400, "min_tokens": 400}}
        with http.stream("POST", "/v1/models/chat/generate", json=body) as answer:
            events = Events(answer.iter_lines()).read("job")
            job = client.job(str(events.last["job"]))
            events.read("text")
            gateway.process.kill()
            gateway.process.wait()
            with pytest.raises(httpx.HTTPError):
                events.read()
    assert job.wait(TIMEOUT_S).results().num_rows == len(prompts)
