"""Texts from a worker, as callers ask for them and read them: each is what transformers writes for its row alone."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pandas as pd
import psycopg
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch
from pydantic import BaseModel, ConfigDict
from transformers import AutoModelForCausalLM, AutoTokenizer

from longshore.producers import Client, Generate
from longshore.producers.job import Job
from longshore.shared.errors import JobFailed
from tests.integration.cluster import Cluster
from tests.integration.command_line import CommandLine, without_settings
from tests.integration.generation.answers import usage_of
from tests.language_models import save_language_model
from tests.waiting import TIMEOUT_S

pytestmark = pytest.mark.filterwarnings("ignore::FutureWarning", "ignore::DeprecationWarning")
PROMPTS = ["the cat sat", "a dog ran to the", "once upon a time", "stocks rose on Monday as oil prices", "blue"]
MESSAGES = [
    [{"role": "user", "content": "the red mat"}],
    [{"role": "system", "content": "one word"}, {"role": "user", "content": "a small house"}],
]
TOKENS = 8


class Person(BaseModel):
    model_config = ConfigDict(extra="forbid")

    name: str
    age: int


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("models") / "chat"
    save_language_model(folder)
    return folder


@pytest.fixture(scope="module")
def client(cluster: Cluster, folder: Path) -> Iterator[Client]:
    """Has chat:1."""
    with cluster.client("texts") as client:
        client.models.import_(folder, "chat", "production")
        yield client


@pytest.fixture
def shell(client: Client) -> CommandLine:
    settings = client.settings
    names = {"REDIS_URL": settings.redis_url, "DATABASE_URL": settings.database_url, "STORE": settings.store}
    addresses = {f"LONGSHORE_{name}": str(value) for name, value in names.items()}
    return CommandLine({**without_settings(), **addresses, "LONGSHORE_PRODUCER": "texts"})


@cache
def reference(folder: Path, text: str, tokens: int = TOKENS) -> str:
    """What transformers writes for a prompt alone, always taking the most probable token."""
    tokenizer = AutoTokenizer.from_pretrained(folder)
    model = AutoModelForCausalLM.from_pretrained(folder)
    prompt = torch.tensor([tokenizer(text)["input_ids"]])
    mask = torch.ones_like(prompt)
    written = model.generate(prompt, attention_mask=mask, max_new_tokens=tokens, do_sample=False)  # type: ignore[misc]
    return str(tokenizer.decode(written[0, prompt.shape[1] :], skip_special_tokens=True))


def of_messages(folder: Path, messages: list[dict[str, str]]) -> str:
    tokenizer = AutoTokenizer.from_pretrained(folder)
    return reference(folder, str(tokenizer.apply_chat_template(messages, tokenize=False, add_generation_prompt=True)))


def texts(job: Job) -> list[str]:
    return job.wait(TIMEOUT_S).results().texts


def test_prompts_and_messages(client: Client, folder: Path) -> None:
    expected = [reference(folder, prompt) for prompt in PROMPTS]
    assert len(set(expected)) > 1
    assert texts(client.generate("chat@production", PROMPTS, max_tokens=TOKENS)) == expected
    assert texts(client.generate("chat:1", PROMPTS[1], max_tokens=TOKENS)) == expected[1:2]
    chats = [of_messages(folder, messages) for messages in MESSAGES]
    job = client.generate("chat", MESSAGES, max_tokens=TOKENS)
    assert texts(job) == chats
    for row, text in zip(job.results(), chats, strict=True):
        assert row.output["message"] == {"role": "assistant", "content": text}


@pytest.mark.parametrize("name", ["rows.csv", "rows.jsonl", "rows.parquet"])
def test_files_with_options_by_row_and_kept_columns(client: Client, folder: Path, tmp_path: Path, name: str) -> None:
    ids = ["01", "2", "x", "4", "5e3"]
    rows: dict[str, list[object]] = {"prompt": [*PROMPTS], "max_tokens": [1, 2, None, 4, 5], "id": [*ids]}
    path = tmp_path / name
    if name.endswith("csv"):
        pd.DataFrame({**rows, "max_tokens": ["1", "2", "", "4", "5"]}).to_csv(path, index=False)
    elif name.endswith("jsonl"):
        lines = [dict(zip(rows, values, strict=True)) for values in zip(*rows.values(), strict=True)]
        path.write_text("".join(f"{json.dumps(line)}\n" for line in lines))
    else:
        pq.write_table(pa.table(rows), path)
    job = client.generate("chat", path, max_tokens=3, keep=["id"], rows_per_shard=2)
    tokens = [1, 2, 3, 4, 5]
    assert texts(job) == [reference(folder, prompt, most) for prompt, most in zip(PROMPTS, tokens, strict=True)]
    assert [row.key for row in job.results()] == [{"id": id_} for id_ in ids]
    assert len(job.shards()) == 3
    with psycopg.connect(client.settings.database_url) as conn:
        found = conn.execute(
            "SELECT key->>'id', output->>'text' FROM results WHERE job_id = %s ORDER BY row", (job.id,)
        ).fetchall()
    assert found == list(zip(ids, job.results().texts, strict=True))


def test_messages_of_files(client: Client, folder: Path, tmp_path: Path) -> None:
    expected = [of_messages(folder, messages) for messages in MESSAGES]
    (tmp_path / "a.jsonl").write_text("".join(json.dumps({"messages": each}) + "\n" for each in MESSAGES))
    pd.DataFrame({"messages": [json.dumps(each) for each in MESSAGES]}).to_csv(tmp_path / "a.csv", index=False)
    pq.write_table(pa.table({"messages": MESSAGES}), tmp_path / "a.parquet")
    jobs = [client.generate("chat", path, max_tokens=TOKENS) for path in sorted(tmp_path.iterdir())]
    assert [texts(job) for job in jobs] == [expected] * 3


def test_a_file_that_a_worker_divides(client: Client, folder: Path, tmp_path: Path) -> None:
    path = tmp_path / "long.csv"
    pad = "x" * 100_000
    path.write_text("prompt,other\n" + "".join(f"{PROMPTS[row % 5]},{pad}\n" for row in range(45)))
    job = client.generate("chat", path, max_tokens=2, rows_per_shard=20)
    assert texts(job) == [reference(folder, PROMPTS[row % 5], 2) for row in range(45)]
    assert [shard.action for shard in job.shards()] == ["plan", "generate", "generate", "generate"]


def test_many_small_jobs_and_coroutines(client: Client, cluster: Cluster, folder: Path) -> None:
    expected = [[reference(folder, PROMPTS[number % 5])] for number in range(50)]
    jobs = client.submit_many([Generate("chat:1", [PROMPTS[number % 5]], max_tokens=TOKENS) for number in range(50)])
    client.wait(jobs, TIMEOUT_S)
    assert [texts(job) for job in jobs] == expected

    async def ask(prompt: str) -> list[str]:
        job = await asynchronous.generate("chat:1", [prompt], max_tokens=TOKENS)
        return (await (await job).results()).texts

    async def ask_all() -> list[list[str]]:
        async with asynchronous:
            return await asyncio.gather(*(ask(PROMPTS[number % 5]) for number in range(20)))

    asynchronous = cluster.async_client("texts")
    assert asyncio.run(ask_all()) == expected[:20]


def test_outputs_of_a_form(client: Client) -> None:
    job = client.generate("chat", PROMPTS, schema=Person, max_tokens=300, max_row_errors=4)
    rows = list(job.wait(TIMEOUT_S).results())
    assert rows
    for row in rows:
        assert Person.model_validate(row.output["data"]) == Person.model_validate_json(str(row.output["text"]))
    for error in job.errors():
        assert "max_tokens" in error.message
    chosen = client.generate("chat", PROMPTS, choices=["red", "blue"], max_tokens=20)
    assert set(texts(chosen)) <= {"red", "blue"}


def test_a_bad_row_is_its_own_error(client: Client, folder: Path) -> None:
    rows = {"prompt": ["the cat sat", "", "blue"], "max_tokens": [2, 2, 100_000]}
    job = client.generate("chat", rows, max_row_errors=2).wait(TIMEOUT_S)
    assert job.results().texts == [reference(folder, "the cat sat", 2)]
    errors = {error.row: error.message for error in job.errors()}
    assert errors.keys() == {1, 2}
    assert "prompt: empty" in errors[1]
    assert "max_tokens" in errors[2]
    strict = client.generate("chat", rows)
    with pytest.raises(JobFailed):
        strict.wait(TIMEOUT_S)
    assert strict.why().next


def test_the_command_prints_texts(client: Client, shell: CommandLine, folder: Path, tmp_path: Path) -> None:
    one = shell("generate", "chat", "--prompt", PROMPTS[0], "--max-tokens", "8")
    assert one.code == 0, one.err
    assert one.out == reference(folder, PROMPTS[0]) + "\n"
    table = shell("generate", "chat", *(f"--prompt={prompt}" for prompt in PROMPTS), "--max-tokens", "8")
    assert table.out.splitlines()[0].split() == ["ROW", "TEXT", "FINISH"]
    assert len(table.out.splitlines()) == 6
    document = shell("generate", "chat", "--prompt", PROMPTS[0], "--max-tokens", "8", "--json").fields
    results = document["results"]
    assert isinstance(results, list)
    assert results[0]["output"]["text"] == reference(folder, PROMPTS[0])
    assert document["usage"] == {"prompt_tokens": 3, "completion_tokens": 8, "cached_tokens": 0} | {
        "prompt_tokens": results[0]["output"]["usage"]["prompt_tokens"],
        "completion_tokens": results[0]["output"]["usage"]["completion_tokens"],
        "cached_tokens": results[0]["output"]["usage"]["cached_tokens"],
    }
    shown = shell("jobs", "show", "@last")
    assert "tokens" in shown.out
    assert "tokens/s in" in shown.out
    job = client.job("@last")
    record = job.record()
    assert record.started_at is not None
    assert record.finished_at is not None
    rate = usage_of(job)["completion_tokens"] / (record.finished_at - record.started_at).total_seconds()
    listed = shell("jobs", "list", "--limit", "1", "--columns", "job,tokens").out.splitlines()
    assert [line.split() for line in listed] == [["JOB", "TOKENS"], [str(job.id), f"{rate:,.0f}", "tokens/s"]]


def test_the_command_writes_files(client: Client, shell: CommandLine, tmp_path: Path) -> None:
    job = client.generate("chat", MESSAGES, max_tokens=TOKENS, n=2, temperature=1.0, seed=1, logprobs=1)
    expected = job.wait(TIMEOUT_S).results()
    for name in ("texts.jsonl", "texts.parquet", "texts.csv"):
        done = shell("results", str(job.id), "-o", tmp_path / name)
        assert done.code == 0, done.err
    lines = [json.loads(line) for line in (tmp_path / "texts.jsonl").read_text().splitlines()]
    assert [line["choices"] for line in lines] == [row.output["choices"] for row in expected]
    assert pq.read_table(tmp_path / "texts.parquet").column("text").to_pylist() == expected.texts
    assert pd.read_csv(tmp_path / "texts.csv", keep_default_na=False)["text"].tolist() == expected.texts
    assert len(expected.to_pandas()["choices"][0]) == 2


def test_a_chain_trains_and_generates(client: Client) -> None:
    training = client.train(
        "tales",
        "causal_lm",
        {"text": ["the cat sat on the mat.", "a dog ran to the moon."] * 20},
        "text",
        config={"n_layers": 1, "d_model": 32, "n_heads": 2, "n_kv_heads": 1, "context": 64},
        tokenizer={"vocabulary": 300},
        epochs=1,
        batch_size=8,
    )
    after = training.then.generate(["the cat", "a dog"], max_tokens=3)
    assert [row.output["finish_reason"] for row in after.wait(TIMEOUT_S).results()] == ["length", "length"]
    assert after.record().version == 1
    with pytest.raises(JobFailed, match="generates text"):
        client.train("odd", "linear", {"x": [1.0, 2.0], "y": ["a", "b"]}, "y", epochs=200, validation=0).then.generate(
            ["the cat"]
        ).wait(TIMEOUT_S)
