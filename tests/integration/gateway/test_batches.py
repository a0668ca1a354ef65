"""Batches, by the official package for OpenAI's API as it is."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import openai
import pytest
from openai.types import Completion
from openai.types.responses import Response
from openai.types.webhooks import BatchCompletedWebhookEvent
from transformers import AutoModelForCausalLM, AutoTokenizer

from longshore.producers import Client
from longshore.producers.gateway.batches.submitting import PRIORITY
from tests.integration.cluster import Cluster
from tests.integration.cluster_pool import LOCAL_WEBHOOKS
from tests.integration.gateway.batch_calls import (
    CHAT,
    COMPLETIONS,
    EMBEDDINGS,
    RESPONSES,
    chat_lines,
    create,
    embedding_lines,
    end_of,
    entries_of,
    line,
)
from tests.integration.gateway_beside import RunningGateway, running_gateway
from tests.integration.webhooks.receiver import receiving
from tests.language_models import save_language_model
from tests.plain_generation import greedy
from tests.text_models import save_sentence
from tests.waiting import TIMEOUT_S, wait_until

EXAMPLE = Path(__file__).parents[3] / "examples" / "openai_batch.py"
pytestmark = pytest.mark.filterwarnings("ignore::FutureWarning", "ignore::DeprecationWarning")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("models")


@pytest.fixture(scope="module")
def gateway(cluster: Cluster) -> Iterator[RunningGateway]:
    with running_gateway(cluster, LOCAL_WEBHOOKS) as gateway:
        yield gateway


@pytest.fixture(scope="module")
def client(cluster: Cluster, folder: Path) -> Iterator[Client]:
    """Has encoder:1, encoder:2 and chat:1."""
    (folder / "encoder").mkdir()
    save_sentence(folder / "encoder")
    (folder / "other").mkdir()
    save_sentence(folder / "other", pooling="cls")
    save_language_model(folder / "chat")
    with cluster.client("search-team") as client:
        client.models.import_(folder / "encoder", "encoder")
        client.models.import_(folder / "other", "encoder")
        client.models.import_(folder / "chat", "chat")
        yield client


@pytest.fixture(scope="module")
def api(gateway: RunningGateway, client: Client) -> Iterator[openai.OpenAI]:
    with openai.OpenAI(base_url=f"{gateway.url}/v1", api_key=gateway.token(), max_retries=0) as api:
        yield api


def test_a_thousand_embeddings_and_two_hundred_chats(api: openai.OpenAI, client: Client, folder: Path) -> None:
    lines = embedding_lines(1000, "encoder:1")
    embeddings = create(api, lines, EMBEDDINGS, metadata={"team": "search"})
    chats = create(api, chat_lines(200), CHAT)
    assert (embeddings.status, embeddings.metadata) == ("validating", {"team": "search"})

    done = end_of(api, embeddings)
    assert done.status == "completed"
    assert done.request_counts is not None
    assert done.request_counts.to_dict() == {"total": 1000, "completed": 1000, "failed": 0}
    assert (done.model, done.error_file_id) == ("encoder:1", None)
    moments = [done.created_at, done.in_progress_at, done.finalizing_at, done.completed_at, done.expires_at]
    assert moments == sorted(moment for moment in moments if moment is not None)
    used = api.embeddings.create(model="encoder:1", input=[json.loads(each)["body"]["input"] for each in lines]).usage
    assert done.usage is not None
    assert (done.usage.total_tokens, done.usage.output_tokens) == (used.total_tokens, 0)
    # What is computed is committed by the shard, and a cancelled batch keeps it.
    job = next(each for each in client.jobs(kind="infer") if each.record().priority == PRIORITY)
    assert max(shard.stop - shard.start for shard in job.shards()) <= 128
    answers = entries_of(api, done).embeddings()
    assert answers.keys() == {f"e{n}" for n in range(1000)}
    alone = client.infer("encoder:1", ["the the the the", "cat the the the"]).wait(TIMEOUT_S).results()
    for n, row in enumerate(alone):
        assert answers[f"e{n}"][0].embedding == pytest.approx(row.output["embedding"], abs=1e-6)

    done = end_of(api, chats)
    assert done.status == "completed"
    texts = entries_of(api, done).chats()
    assert texts.keys() == {f"c{n}" for n in range(200)}
    for n in (0, 99, 199):
        assert texts[f"c{n}"].choices[0].message.content == written_alone(folder / "chat", f"red {n}", 2)
    assert done.usage is not None
    assert done.usage.output_tokens == sum(each.usage.completion_tokens for each in texts.values() if each.usage)


def written_alone(folder: Path, message: str, tokens: int) -> str:
    """What transformers writes."""
    tokenizer = AutoTokenizer.from_pretrained(folder)
    messages = [{"role": "user", "content": message}]
    prompt = tokenizer.apply_chat_template(messages, add_generation_prompt=True, tokenize=False)
    module = AutoModelForCausalLM.from_pretrained(folder)
    return str(tokenizer.decode(greedy(module, tokenizer(prompt)["input_ids"], tokens), skip_special_tokens=True))


def test_completions_and_responses_and_the_webhooks_of_their_ends(
    api: openai.OpenAI, gateway: RunningGateway, client: Client
) -> None:
    """The answers are those that the endpoints give by themselves, and the ends are told to OpenAI's package."""
    texts = {f"t{n}": ["red", f"blue {n}"] for n in range(3)}
    with receiving() as receiver, gateway.http() as http:
        made = http.post("/v1/webhooks", json={"url": f"{receiver.url}/ends", "types": ["batch.*"]}).json()
        body = {"model": "chat", "max_tokens": 2}
        lines = [line(id_, COMPLETIONS, {**body, "prompt": prompts}) for id_, prompts in texts.items()]
        completions = create(api, lines, COMPLETIONS)
        body = {"model": "chat", "max_output_tokens": 3}
        responses = create(
            api, [line(id_, RESPONSES, {**body, "input": prompts[1]}) for id_, prompts in texts.items()], RESPONSES
        )
        done = [end_of(api, batch) for batch in (completions, responses)]
        messages = receiver.wait("/ends", 2)
        http.delete(f"/v1/webhooks/{made['id']}").raise_for_status()
    assert [batch.status for batch in done] == ["completed", "completed"]
    answers = entries_of(api, done[0]).bodies()
    used = [0, 0]
    for id_, prompts in texts.items():
        alone = api.completions.create(model="chat", prompt=prompts, max_tokens=2)
        answer = Completion.model_validate(answers[id_])
        assert (answer.choices, answer.usage) == (alone.choices, alone.usage)
        assert alone.usage is not None
        used[0] += alone.usage.total_tokens
    answers = entries_of(api, done[1]).bodies()
    for id_, prompts in texts.items():
        response = api.responses.create(model="chat", input=prompts[1], max_output_tokens=3)
        written = Response.model_validate(answers[id_])
        assert (written.output_text, written.usage) == (response.output_text, response.usage)
        assert response.usage is not None
        used[1] += response.usage.total_tokens
    assert [batch.usage and batch.usage.total_tokens for batch in done] == used
    told = [api.webhooks.unwrap(each.body, dict(each.headers), secret=made["secret"]) for each in messages]
    ended = {event.data.id for event in told if isinstance(event, BatchCompletedWebhookEvent)}
    assert ended == {batch.id for batch in done}


def test_bad_lines_are_errors_with_their_numbers_and_the_others_run(api: openai.OpenAI) -> None:
    good, two = embedding_lines(1, "encoder:1")[0], {"model": "encoder:2", "input": ["the cat", "a dog"]}
    bad = {
        "{no JSON": "invalid_json_line",
        "[1]": "invalid_json_line",
        '{"custom_id": NaN}': "invalid_json_line",
        "[" * 100_000: "invalid_json_line",
        '{"method": "POST"}': "missing_required_parameter",
        '{"custom_id": 7}': "invalid_custom_id",
        '{"custom_id": "\\ud800"}': "invalid_custom_id",
        good: "duplicate_custom_id",
        line("url", CHAT, {}): "invalid_url",
        line("method", EMBEDDINGS, {}).replace("POST", "GET"): "invalid_method",
        line("body", EMBEDDINGS, {}).replace("{}", "[]"): "invalid_body",
        line("key", EMBEDDINGS, {}).replace('"body"', '"bodies"'): "unknown_parameter",
        line("parameter", EMBEDDINGS, {"model": "encoder", "input": "a", "colour": 1}): "unknown_parameter",
        line("input", EMBEDDINGS, {"model": "encoder"}): "missing_required_parameter",
        line("model", EMBEDDINGS, {"model": "nobody", "input": "a"}): "model_not_found",
        line("chat", EMBEDDINGS, {"model": "chat", "input": "a"}): "invalid_model",
        line("size", EMBEDDINGS, {"model": "encoder:1", "input": "the cat", "dimensions": 5}): "invalid_value",
    }
    lines = [good, *bad, "", line("two", EMBEDDINGS, two)]
    done = end_of(api, create(api, lines, EMBEDDINGS))
    assert (done.status, done.model) == ("completed", None)
    assert done.request_counts is not None
    assert done.request_counts.to_dict() == {"total": len(bad) + 2, "completed": 2, "failed": len(bad)}
    entries = entries_of(api, done)
    answers = entries.embeddings()
    assert [len(answers[name]) for name in ("e0", "two")] == [1, 2]
    run, codes = [each for each in entries.errors if each.response], {}
    for entry in entries.errors:
        if entry.error is not None:
            codes[lines[entry.error.line - 1]] = entry.error.code
    # That one was run: only its embedding shows that it has another length.
    assert [each.custom_id for each in run] == ["size"]
    assert [each.response.status_code for each in run if each.response] == [400]
    assert codes == {text: code for text, code in bad.items() if "dimensions" not in text}


def test_a_row_that_cannot_be_run_fails_alone(api: openai.OpenAI) -> None:
    long = {"model": "chat", "messages": [{"role": "user", "content": "moon " * 600}], "max_tokens": 2}
    schema = {"type": "json_schema", "json_schema": {"name": "a", "schema": {"type": "object", "required": "x"}}}
    wrong = {"model": "chat", "messages": [{"role": "user", "content": "a"}], "response_format": schema}
    lines = [*chat_lines(2), line("long", CHAT, long), line("schema", CHAT, wrong)]
    done = end_of(api, create(api, lines, CHAT))
    assert done.status == "completed"
    entries = entries_of(api, done)
    assert entries.chats().keys() == {"c0", "c1"}
    errors = {entry.custom_id: entry for entry in entries.errors}
    assert errors.keys() == {"long", "schema"}
    assert errors["long"].response is not None
    assert errors["long"].response.status_code == 400
    assert "512" in str(errors["long"].response.body["error"])
    assert errors["schema"].error is not None
    assert (errors["schema"].error.line, errors["schema"].error.param) == (4, "body.response_format")


def test_a_file_that_cannot_be_used_fails_the_batch(api: openai.OpenAI, gateway: RunningGateway) -> None:
    empty = end_of(api, create(api, [""], EMBEDDINGS))
    assert (empty.status, empty.output_file_id, empty.error_file_id) == ("failed", None, None)
    assert empty.errors is not None
    assert [error.code for error in empty.errors.data or ()] == ["empty_file"]
    strange = line("nul", EMBEDDINGS, {"model": "encoder", "input": "a", "\0" + "k" * 5000: 1})
    wrong = end_of(api, create(api, ["{", *chat_lines(1), strange], EMBEDDINGS))
    assert wrong.status == "failed"
    assert wrong.errors is not None
    assert [(error.line, error.code) for error in wrong.errors.data or ()] == [
        (1, "invalid_json_line"),
        (2, "invalid_url"),
        (3, "unknown_parameter"),
    ]
    with openai.OpenAI(base_url=f"{gateway.url}/v1", api_key=gateway.token(models=["chat*"])) as narrow:
        refused = end_of(narrow, create(narrow, embedding_lines(1), EMBEDDINGS))
        assert refused.errors is not None
        assert [error.code for error in refused.errors.data or ()] == ["forbidden"]


def test_bad_batches_are_refused(api: openai.OpenAI, gateway: RunningGateway) -> None:
    data = api.files.create(file=("a", b"{}"), purpose="user_data").id
    file = api.files.create(file=("a", b"{}"), purpose="batch").id
    good: dict[str, object] = {"input_file_id": file, "endpoint": EMBEDDINGS, "completion_window": "24h"}
    for wrong, param in (
        ({"input_file_id": "file-none"}, "input_file_id"),
        ({"input_file_id": data}, "input_file_id"),
        ({"endpoint": "/v1/images/edits"}, "endpoint"),
        ({"completion_window": "soon"}, "completion_window"),
        ({"completion_window": "31d"}, "completion_window"),
        ({"metadata": {"k" * 65: "v"}}, "metadata"),
        ({"metadata": {"k": "\0"}}, "metadata"),
        ({"metadata": {str(n): "v" for n in range(17)}}, "metadata"),
        ({"output_expires_after": {"anchor": "created_at", "seconds": 1}}, "output_expires_after.seconds"),
    ):
        with pytest.raises(openai.BadRequestError) as refused:
            api.batches.create(**{**good, **wrong})  # type: ignore[arg-type]
        assert str(refused.value.param).startswith(param)
    with openai.OpenAI(base_url=f"{gateway.url}/v1", api_key=gateway.token("another")) as other:
        with pytest.raises(openai.BadRequestError):
            other.batches.create(**good)  # type: ignore[arg-type]
        expiry = {"anchor": "created_at", "seconds": 3600}
        batch = end_of(api, create(api, embedding_lines(1), EMBEDDINGS, "1h", output_expires_after=expiry))
        for call in (other.batches.retrieve, other.batches.cancel):
            with pytest.raises(openai.NotFoundError):
                call(batch.id)
        assert list(other.batches.list()) == []
    assert batch.expires_at == batch.created_at + 3600
    assert api.files.retrieve(str(batch.output_file_id)).expires_at is not None
    with pytest.raises(openai.ConflictError):
        api.batches.cancel(batch.id)
    listed = [each.id for each in api.batches.list(limit=2)]
    assert listed[0] == batch.id
    assert len(listed) == len(set(listed)) >= 3


def test_cancelling_keeps_what_is_done(api: openai.OpenAI) -> None:
    batch = create(api, chat_lines(600, tokens=60), CHAT)

    def has_begun() -> bool:
        now = api.batches.retrieve(batch.id)
        assert now.status in ("validating", "in_progress")
        return now.request_counts is not None and now.request_counts.completed > 0

    wait_until(has_begun, "the first lines")
    with pytest.raises(openai.ConflictError):
        api.files.delete(batch.input_file_id)
    assert api.batches.cancel(batch.id).status == "cancelling"
    done = end_of(api, batch)
    assert done.status == "cancelled"
    assert done.cancelling_at is not None
    assert done.cancelled_at is not None
    entries = entries_of(api, done)
    assert entries.answers
    assert {entry.error.code for entry in entries.errors if entry.error} == {"batch_cancelled"}
    assert entries.ids == sorted(f"c{n}" for n in range(600))
    assert api.files.delete(batch.input_file_id).deleted


def test_what_was_not_run_in_time_has_an_error(api: openai.OpenAI) -> None:
    batch = create(api, chat_lines(1000, tokens=200), CHAT, "6s")
    done = end_of(api, batch)
    assert done.status == "expired"
    assert done.expired_at is not None
    entries = entries_of(api, done)
    assert {entry.error.code for entry in entries.errors if entry.error} == {"batch_expired"}
    assert entries.ids == sorted(f"c{n}" for n in range(1000))


def test_the_example_of_the_documentation(api: openai.OpenAI, gateway: RunningGateway) -> None:
    done = subprocess.run(
        [sys.executable, str(EXAMPLE), "chat:1", "the red mat", "a small house"],
        env={**os.environ, "OPENAI_BASE_URL": f"{gateway.url}/v1", "OPENAI_API_KEY": str(api.api_key)},
        capture_output=True,
        text=True,
        check=True,
        timeout=TIMEOUT_S,
    )
    assert "completed: BatchRequestCounts(completed=2, failed=0, total=2)" in done.stdout
    assert "question-0 " in done.stdout
    assert "question-1 " in done.stdout
