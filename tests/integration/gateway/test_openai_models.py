"""OpenAI's endpoints that run a model, called by OpenAI's own package."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from pathlib import Path
from typing import Literal

import httpx
import numpy as np
import openai
import pytest
from openai import AsyncOpenAI, OpenAI
from openai.types.chat import ChatCompletionMessageParam, ChatCompletionToolParam
from openai.types.responses import FunctionToolParam
from pydantic import BaseModel
from sentence_transformers import SentenceTransformer

from longshore.producers import Client
from longshore.shared.vocabulary import State
from tests.integration.cluster import Cluster
from tests.integration.gateway.openai_models import CALL, CHAT, ENCODER, TOOLS, import_models
from tests.integration.gateway.openai_tools import check_forced_calls
from tests.integration.gateway_beside import RunningGateway, running_gateway
from tests.text_models import TEXTS
from tests.waiting import TIMEOUT_S, wait_until

MESSAGES: list[ChatCompletionMessageParam] = [
    {"role": "system", "content": "one word"},
    {"role": "user", "content": [{"type": "text", "text": "the cat sat"}, {"type": "text", "text": "under 🙂"}]},
]
PARAMETERS: dict[str, object] = {"type": "object", "properties": {"zone": {"type": "string"}}}
CLOCK: ChatCompletionToolParam = {"type": "function", "function": {"name": "clock", "parameters": PARAMETERS}}
FLAT_CLOCK: FunctionToolParam = {"type": "function", "name": "clock", "parameters": PARAMETERS, "strict": False}
PRODUCER = "search-team"


class Answer(BaseModel):
    """What the model must answer."""

    color: Literal["red", "blue"]
    is_dark: bool


@pytest.fixture(scope="module")
def client(cluster: Cluster) -> Iterator[Client]:
    with cluster.client(PRODUCER) as client:
        yield client


@pytest.fixture(scope="module")
def folder(client: Client, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("models")
    import_models(client, folder)
    return folder


@pytest.fixture(scope="module")
def api(gateway: RunningGateway, folder: Path) -> Iterator[OpenAI]:
    with OpenAI(base_url=f"{gateway.url}/v1", api_key=gateway.token(), max_retries=0, timeout=TIMEOUT_S) as api:
        yield api


def test_a_chat_is_what_generate_answers(api: OpenAI, client: Client) -> None:
    job = client.generate("chat:1", [{"messages": list(MESSAGES)}], max_tokens=9, logprobs=2)
    [row] = job.wait(TIMEOUT_S).stream()
    chat = api.chat.completions.create(model=CHAT, messages=MESSAGES, max_tokens=9, logprobs=True, top_logprobs=2)
    assert (chat.object, chat.model) == ("chat.completion", "chat:1")
    [choice] = chat.choices
    assert (choice.message.role, choice.message.content) == ("assistant", row.output["text"])
    assert choice.finish_reason == row.output["finish_reason"]
    assert choice.logprobs is not None
    assert choice.logprobs.content is not None
    logged = row.output["logprobs"]
    assert isinstance(logged, list)
    for token, expected in zip(choice.logprobs.content, logged, strict=True):
        assert isinstance(expected, dict)
        top = [each.model_dump(exclude={"bytes"}) for each in token.top_logprobs]
        # A prompt whose keys and values are there already is computed in other pieces.
        assert token.token == expected["token"]
        assert token.logprob == pytest.approx(expected["logprob"], abs=1e-4)
        likely = expected["top"]
        assert isinstance(likely, list)
        assert [each["token"] for each in top] == [each["token"] for each in likely if isinstance(each, dict)]
    usage = row.output["usage"]
    assert isinstance(usage, dict)
    assert chat.usage is not None
    assert (chat.usage.prompt_tokens, chat.usage.completion_tokens) == (usage["prompt_tokens"], 9)

    options = {"n": 3, "seed": 7, "temperature": 1.5, "max_tokens": 5, "top_k": 50}
    [row] = client.generate("chat", ["once upon"], **options).wait(TIMEOUT_S).stream()  # type: ignore[arg-type]
    del options["top_k"]
    completion = api.completions.create(
        model="chat",
        prompt=["once upon", "a dog"],
        extra_body={"top_k": 50},
        **options,  # type: ignore[call-overload]
    )
    choices = row.output["choices"]
    assert isinstance(choices, list)
    texts = [each["text"] for each in choices if isinstance(each, dict)]
    assert [each.text for each in completion.choices[:3]] == texts
    assert [each.index for each in completion.choices] == [*range(6)]
    assert len(set(texts)) > 1

    response = api.responses.create(model="chat", instructions="one word", input="the cat", max_output_tokens=4)
    asked = [{"role": "system", "content": "one word"}, {"role": "user", "content": "the cat"}]
    assert response.output_text == client.generate("chat", asked, max_tokens=4).wait(TIMEOUT_S).results().texts[0]
    assert response.status == "incomplete"


def test_streams_end_with_the_same_answer(gateway: RunningGateway, api: OpenAI) -> None:
    async def stream() -> None:
        async with AsyncOpenAI(base_url=f"{gateway.url}/v1", api_key=gateway.token(), max_retries=0) as api:
            await asyncio.gather(chat(api), sampled(api), completions(api), responses(api))

    whole = api.chat.completions.create(model=CHAT, messages=MESSAGES, max_tokens=40)

    async def chat(api: AsyncOpenAI) -> None:
        chunks = [
            chunk
            async for chunk in await api.chat.completions.create(
                model=CHAT, messages=MESSAGES, max_tokens=40, stream=True, stream_options={"include_usage": True}
            )
        ]
        *texts, last = chunks
        assert {chunk.object for chunk in chunks} == {"chat.completion.chunk"}
        assert {(chunk.id, chunk.model) for chunk in chunks} == {(last.id, "chat:1")}
        assert (last.choices, last.usage) == ([], whole.usage)
        assert all(chunk.usage is None for chunk in texts)
        assert texts[0].choices[0].delta.role == "assistant"
        assert "".join(chunk.choices[0].delta.content or "" for chunk in texts) == whole.choices[0].message.content
        ends = [chunk.choices[0].finish_reason for chunk in texts]
        assert ends == [None] * (len(texts) - 1) + [whole.choices[0].finish_reason]

    async def sampled(api: AsyncOpenAI) -> None:
        options: dict[str, object] = {"model": CHAT, "messages": MESSAGES, "n": 2, "seed": 3, "temperature": 1}
        options |= {"max_tokens": 8, "logprobs": True}
        texts, logged = ["", ""], [0, 0]
        async for chunk in await api.chat.completions.create(**options, stream=True):  # type: ignore[call-overload]
            [choice] = chunk.choices
            texts[choice.index] += choice.delta.content or ""
            logged[choice.index] += len(choice.logprobs.content) if choice.logprobs else 0
        chat = await api.chat.completions.create(**options)  # type: ignore[call-overload]
        assert texts == [choice.message.content for choice in chat.choices]
        assert logged == [len(choice.logprobs.content) for choice in chat.choices]

    async def completions(api: AsyncOpenAI) -> None:
        options = {"model": "chat", "prompt": ["the cat", "a dog"], "max_tokens": 6}
        texts = ["", ""]
        async for chunk in await api.completions.create(**options, stream=True):  # type: ignore[call-overload]
            [choice] = chunk.choices
            texts[choice.index] += choice.text
        completion = await api.completions.create(**options)  # type: ignore[call-overload]
        assert texts == [each.text for each in completion.choices]

    async def responses(api: AsyncOpenAI) -> None:
        events = [
            event
            async for event in await api.responses.create(
                model="chat", input="the cat", max_output_tokens=6, stream=True
            )
        ]
        last = events[-1]
        assert events[0].type == "response.created"
        assert last.type == "response.incomplete"
        text = "".join(event.delta for event in events if event.type == "response.output_text.delta")
        assert [event.sequence_number for event in events] == [*range(len(events))]
        response = await api.responses.create(model="chat", input="the cat", max_output_tokens=6)
        assert text == last.response.output_text == response.output_text
        assert last.response.usage == response.usage

    asyncio.run(asyncio.wait_for(stream(), TIMEOUT_S))


def test_tools_are_called_and_their_outputs_are_answered(api: OpenAI) -> None:
    asked: list[ChatCompletionMessageParam] = [{"role": "user", "content": "what time is it?"}]
    chat = api.chat.completions.create(model=TOOLS, messages=asked, tools=[CLOCK], max_tokens=9)
    [choice] = chat.choices
    assert (choice.finish_reason, choice.message.content) == ("tool_calls", None)
    assert choice.message.tool_calls is not None
    [call] = choice.message.tool_calls
    assert call.type == "function"
    assert (call.function.name, call.function.arguments) == ("clock", '{"zone": "CET"}')
    with api.chat.completions.stream(model=TOOLS, messages=asked, tools=[CLOCK], max_tokens=9) as stream:
        streamed = stream.get_final_completion().choices[0]
    assert streamed.finish_reason == "tool_calls"
    assert streamed.message.tool_calls is not None
    assert [each.id for each in streamed.message.tool_calls] == [call.id]
    assert streamed.message.tool_calls[0].function.arguments == call.function.arguments

    # As the package's own documentation goes on: the message as it came, and the output of the tool.
    output: ChatCompletionMessageParam = {"role": "tool", "tool_call_id": call.id, "content": "12:00"}
    later = api.chat.completions.create(  # type: ignore[call-overload]
        model=TOOLS, messages=[*asked, choice.message, output], tool_choice="none", tools=[CLOCK]
    )
    assert (later.choices[0].message.content, later.choices[0].message.tool_calls) == (CALL, None)

    response = api.responses.create(model=TOOLS, input="what time is it?", tools=[FLAT_CLOCK])
    [item] = response.output
    assert item.type == "function_call"
    assert (item.call_id, item.arguments) == (call.id, call.function.arguments)
    history = [
        {"role": "user", "content": "time?"},
        *response.output,
        {"type": "function_call_output", "call_id": item.call_id, "output": "12:00"},
    ]
    with api.responses.stream(model=TOOLS, input=history, tools=[FLAT_CLOCK]) as events:  # type: ignore[arg-type]
        kinds = [event.type for event in events]
        [again] = events.get_final_response().output
        assert again.type == "function_call"
        assert (again.call_id, again.arguments) == (item.call_id, item.arguments)
    assert kinds[-2:] == ["response.output_item.done", "response.completed"]
    assert "response.function_call_arguments.done" in kinds
    check_forced_calls(api)


def test_answers_are_parsed(api: OpenAI) -> None:
    chat = api.chat.completions.parse(model=CHAT, messages=MESSAGES, response_format=Answer, max_tokens=60)
    assert isinstance(chat.choices[0].message.parsed, Answer)
    response = api.responses.parse(model="chat", input="which?", text_format=Answer, max_output_tokens=60)
    assert isinstance(response.output_parsed, Answer)
    chosen = api.chat.completions.create(
        model=CHAT, messages=MESSAGES, max_tokens=9, extra_body={"structured_outputs": {"choice": ["red", "blue"]}}
    )
    assert chosen.choices[0].message.content in ("red", "blue")
    with pytest.raises(openai.BadRequestError, match="raise max_tokens"):
        api.chat.completions.parse(model=CHAT, messages=MESSAGES, response_format=Answer, max_tokens=2)


def test_embeddings_are_those_of_infer_and_of_their_library(api: OpenAI, client: Client, folder: Path) -> None:
    job = client.infer(ENCODER, TEXTS).wait(TIMEOUT_S)
    inferred = np.array([row.output["embedding"] for row in job.stream()], np.float32)
    as_numbers = api.embeddings.create(model=ENCODER, input=TEXTS, encoding_format="float")
    as_bytes = api.embeddings.create(model="team/encoder", input=TEXTS)  # the package asks for base64
    for answer in (as_numbers, as_bytes):
        assert answer.model == ENCODER
        assert [each.index for each in answer.data] == [*range(len(TEXTS))]
        np.testing.assert_allclose([each.embedding for each in answer.data], inferred, atol=1e-6)
    library = SentenceTransformer(str(folder / "encoder"), device="cpu")
    np.testing.assert_allclose(inferred, library.encode(TEXTS), atol=1e-5)
    tokens = sum(map(len, library.tokenizer(TEXTS, truncation=True, max_length=library.max_seq_length)["input_ids"]))
    assert (as_numbers.usage.prompt_tokens, as_bytes.usage.total_tokens) == (tokens, tokens)
    assert next(iter(job.stream())).output.keys() == {"embedding"}  # of a job that no caller of OpenAI's API asked for
    [one] = api.embeddings.create(model=ENCODER, input=TEXTS[2], dimensions=16).data
    np.testing.assert_allclose(one.embedding, inferred[2], atol=1e-6)


def test_models_are_listed_and_retrieved(api: OpenAI) -> None:
    assert {model.id for model in api.models.list()} == {"chat", "team/encoder", TOOLS}
    for reference in (CHAT, ENCODER, "team/encoder"):
        model = api.models.retrieve(reference)
        assert (model.id, model.object, model.owned_by) == (reference, "model", "longshore")
        assert model.created > 1_700_000_000
    with pytest.raises(UNKNOWN) as unknown:
        api.models.retrieve("team/nobody:1")
    assert unknown.value.code == "model_not_found"


UNKNOWN, BAD = openai.NotFoundError, openai.BadRequestError
LONG: dict[str, object] = {"messages": [{"role": "user", "content": "x" * 2000}]}


@pytest.mark.parametrize(
    ("options", "kind", "param", "code"),
    [
        ({"model": "nobody"}, UNKNOWN, "model", "model_not_found"),
        ({"model": "chat@nobody"}, UNKNOWN, "model", "model_not_found"),
        ({"model": ENCODER}, BAD, "model", "invalid_value"),
        ({"logit_bias": {"5": 1}}, BAD, "logit_bias", "unsupported_parameter"),
        ({"extra_body": {"foo": 1}}, BAD, "foo", "unknown_parameter"),
        ({"max_completion_tokens": 512}, BAD, "max_completion_tokens", "invalid_value"),
        ({"max_completion_tokens": 512, "stream": True}, BAD, "max_completion_tokens", "invalid_value"),
        (LONG, BAD, None, "invalid_row"),
        ({"tools": [CLOCK]}, BAD, "tools", "invalid_value"),
        ({"input": "x", "model": "nobody"}, UNKNOWN, "model", "model_not_found"),
        ({"input": "x", "model": CHAT}, BAD, "model", "invalid_value"),
        ({"input": "x", "model": ENCODER, "dimensions": 3}, BAD, "dimensions", "invalid_value"),
    ],
)
def test_errors_are_those_of_the_package(
    api: OpenAI, options: dict[str, object], kind: type[openai.APIStatusError], param: str | None, code: str
) -> None:
    with pytest.raises(kind) as raised:
        api.embeddings.create(**options) if "input" in options else chat(api, **options)  # type: ignore[arg-type]
    assert (raised.value.param, raised.value.code) == (param, code)
    assert raised.value.response.headers["content-type"] == "application/problem+json"


def chat(api: OpenAI, **options: object) -> object:
    return api.chat.completions.create(**{"model": CHAT, "messages": MESSAGES, **options})  # type: ignore[call-overload]


def test_an_error_of_a_row_ends_the_stream(api: OpenAI) -> None:
    with pytest.raises(openai.APIError, match="the version takes 512"):
        list(chat(api, **LONG, stream=True))  # type: ignore[call-overload]


def test_quotas_scopes_and_models_of_a_token(cluster: Cluster, gateway: RunningGateway, api: OpenAI) -> None:
    limits = cluster.ledger.producer_limits
    limits.set(PRODUCER, 0)
    try:
        with pytest.raises(openai.RateLimitError) as limited:
            chat(api)
        assert limited.value.code == "rate_limit_exceeded"
    finally:
        limits.set(PRODUCER, None)
    with pytest.raises(openai.AuthenticationError) as unknown:
        chat(api.with_options(api_key="lsk_no"))
    assert unknown.value.code == "invalid_api_key"
    for token in (gateway.token(scopes=["models:read"]), gateway.token(models=["other*"])):
        with pytest.raises(openai.PermissionDeniedError):
            chat(api.with_options(api_key=token))


@pytest.mark.parametrize("stream", [False, True])
def test_a_caller_that_goes_away_cancels_its_job(
    gateway: RunningGateway, api: OpenAI, client: Client, stream: bool
) -> None:
    known = {job.id for job in client.jobs()}
    body = {"model": CHAT, "messages": [{"role": "user", "content": "x"}], "stream": stream}
    long = {"n": 128, "temperature": 1.0, "min_tokens": 400, "max_tokens": 450}

    def new() -> list[object]:
        return [job for job in client.jobs() if job.id not in known]

    async def leave() -> None:
        async with httpx.AsyncClient(base_url=gateway.url, headers={"Authorization": f"Bearer {api.api_key}"}) as http:
            asking = asyncio.ensure_future(http.post("/v1/chat/completions", json={**body, **long}, timeout=TIMEOUT_S))
            await asyncio.to_thread(wait_until, lambda: bool(new()), "the job of the request")
            asking.cancel()
            await asyncio.wait([asking])

    asyncio.run(leave())
    [job] = [job for job in client.jobs() if job.id not in known]
    wait_until(lambda: job.state is State.CANCELLED, "the end of the job that nobody reads")


def test_an_answer_that_takes_too_long(cluster: Cluster, api: OpenAI, client: Client) -> None:
    with running_gateway(cluster, {"LONGSHORE_GATEWAY_ANSWER_TIMEOUT_S": "0.01"}) as gateway:
        hasty = api.with_options(base_url=f"{gateway.url}/v1", max_retries=2)
        with pytest.raises(openai.InternalServerError) as raised:
            chat(hasty, max_tokens=400, extra_body={"min_tokens": 400})
    assert raised.value.status_code == 504
    [job] = [job for job in client.jobs() if str(job.id) in raised.value.message]
    # It was not asked for again.
    assert client.jobs()[0].id == job.id
    job.cancel()
