"""Requests for texts as they are queued: what is refused, and how rows become shards. No worker runs them."""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from uuid import UUID

import pandas as pd
import psycopg
import pyarrow as pa
import pytest

from longshore.producers import AsyncClient, Client, Generate, Infer
from longshore.producers.data import GenerateData
from longshore.producers.options.keywords import Json
from longshore.shared.errors import InvalidInput
from longshore.shared.ledger.shards.row_commits import generate_batch_key
from longshore.shared.model_formats.huggingface.language import base_key
from longshore.shared.settings import Settings
from longshore.shared.store.manifest import Manifest
from longshore.shared.vocabulary import State
from tests.integration.command_line import CommandLine, without_settings
from tests.integration.support import migrated_database
from tests.language_models import CONTEXT, TOOLS_TEMPLATE, save_language_model
from tests.lora_adapters import save_adapter
from tests.text_models import save_model

pytestmark = pytest.mark.filterwarnings("ignore::FutureWarning", "ignore::DeprecationWarning")
HI = [{"role": "user", "content": "Hi"}]


@pytest.fixture(scope="module")
def settings(services: Settings, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Settings]:
    with migrated_database(services) as settings:
        yield replace(settings, store=str(tmp_path_factory.mktemp("store")), home=None)


@pytest.fixture(scope="module")
def client(settings: Settings, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Client]:
    """Has chat:1, its adapter support:1, tools:1, plain:1 without a chat template, and the classifier topics:1."""
    folder = tmp_path_factory.mktemp("models")
    save_language_model(folder / "chat")
    save_language_model(folder / "tools", template=TOOLS_TEMPLATE)
    save_language_model(folder / "plain", template=None, seed=1)
    save_adapter(folder / "chat", folder / "support", rank=2)
    save_model(folder / "topics", "bert", head=True)
    with Client(
        redis_url=settings.redis_url, database_url=settings.database_url, store=settings.store, producer="tests"
    ) as client:
        client.models.import_(folder / "chat", "chat", "production")
        client.models.import_(folder / "support", "support", base="chat:1")
        client.models.import_(folder / "tools", "tools")
        client.models.import_(folder / "plain", "plain")
        client.models.import_(folder / "topics", "topics")
        yield client


@pytest.fixture
def shell(settings: Settings) -> CommandLine:
    names = {"REDIS_URL": settings.redis_url, "DATABASE_URL": settings.database_url, "STORE": settings.store}
    addresses = {f"LONGSHORE_{name}": str(value) for name, value in names.items()}
    return CommandLine({**without_settings(), **addresses, "LONGSHORE_PRODUCER": "tests"})


REFUSED: list[tuple[str, GenerateData, dict[str, object], str, str]] = [
    ("topics", ["Hi"], {}, "model", "topics:1 is no language model"),
    ("chat", ["Hi"], {"max_tokens": CONTEXT}, "max_tokens", f"512: the version takes {CONTEXT} tokens"),
    ("support", ["Hi"], {"max_tokens": 10_000}, "max_tokens", "10,000: the version takes 512 tokens"),
    ("chat", {"prompt": ["Hi"], "max_tokens": [CONTEXT]}, {}, "data", "row 0: max_tokens: 512"),
    ("plain", HI, {}, "data", "no chat template"),
    ("chat", [{"role": "bot", "content": "Hi"}], {}, "data", "role: 'bot'"),
    ("chat", {"prompt": ["Hi"], "messages": [HI]}, {}, "data", "both"),
    ("chat", ["Hi"], {"max_token": 3}, "max_token", "did you mean max_tokens"),
    ("chat", ["Hi"], {"schema": {"type": "nothing"}}, "schema", "not valid"),
    ("chat", ["Hi"], {"regex": "("}, "regex", "cannot be compiled"),
    ("chat", ["Hi"], {"prefix": "{", "schema": {"type": "object"}}, "prefix", "leave one out"),
    ("chat", ["Hi"], {"format": "csv"}, "format", "no file format"),
    ("chat", ["Hi"], {"output": "out/*.parquet"}, "output", "unknown option"),
    ("chat", "no/such/file.csv", {}, "data", "cannot read"),
]


@pytest.mark.parametrize(("model", "data", "options", "field", "reason"), REFUSED, ids=[each[4] for each in REFUSED])
def test_a_wrong_request_is_refused_and_nothing_is_queued(
    client: Client, model: str, data: GenerateData, options: dict[str, object], field: str, reason: str
) -> None:
    before = [job.id for job in client.jobs()]
    with pytest.raises(InvalidInput) as refused:
        client.generate(model, data, **options)  # type: ignore[arg-type]
    assert refused.value.field == field
    assert reason in refused.value.reason
    assert [job.id for job in client.jobs()] == before


def test_language_models_are_not_inferred(client: Client) -> None:
    with pytest.raises(InvalidInput, match=r"model: .*use generate"):
        client.infer("chat", [{"prompt": "Hi"}])


def borders(client: Client, id_: UUID) -> list[tuple[str, int, int]]:
    return [(shard.action, shard.start, shard.stop) for shard in client.job(id_).shards()]


def batch_keys(settings: Settings, id_: UUID) -> set[str | None]:
    with psycopg.connect(settings.database_url) as conn:
        return {key for (key,) in conn.execute("SELECT batch_key FROM shards WHERE job_id = %s", (id_,))}


def test_small_jobs_of_one_model_have_one_batch_key_and_large_ones_none(client: Client, settings: Settings) -> None:
    manifest = Manifest.model_validate(client.models.get("chat:1").manifest)
    key = generate_batch_key(base_key(manifest), "auto")
    small = client.generate("chat@production", ["Hi"] * 32, temperature=0.5)
    adapted = client.generate("support:1", "Say hello to me", max_tokens=3)
    assert batch_keys(settings, small.id) == batch_keys(settings, adapted.id) == {key}
    assert batch_keys(settings, client.generate("plain", ["Hi"]).id) != {key}
    assert batch_keys(settings, client.generate("chat", ["Hi"], engine="vllm").id) != {key}
    assert batch_keys(settings, client.generate("chat", ["Hi"] * 33).id) == {None}


def test_rows_are_divided_into_shards_of_256(client: Client) -> None:
    large = client.generate("chat", ["Hi"] * 600)
    assert borders(client, large.id) == [("generate", 0, 256), ("generate", 256, 512), ("generate", 512, 600)]
    assert large.record().kind == "generate"
    assert len(borders(client, client.generate("chat", ["Hi"] * 25, rows_per_shard=10).id)) == 3


def test_a_long_text_file_is_divided_by_a_worker(client: Client, settings: Settings, tmp_path: Path) -> None:
    path = tmp_path / "long.jsonl"
    line = json.dumps({"prompt": "x" * 1000}) + "\n"
    path.write_text(line * 5000)
    job = client.generate("chat", path)
    assert borders(client, job.id) == [("plan", 0, 0)]
    with psycopg.connect(settings.database_url) as conn:
        assert conn.execute("SELECT rows_per_shard FROM jobs WHERE id = %s", (job.id,)).fetchall() == [(256,)]
    pa.parquet.write_table(pa.table({"prompt": ["Hi"] * 300}), tmp_path / "rows.parquet")
    assert len(borders(client, client.generate("chat", tmp_path / "rows.parquet").id)) == 2


def test_requests_of_one_call_are_planned_together(client: Client, settings: Settings) -> None:
    requests = [Generate("chat:1", [f"Say {number}"], max_tokens=4) for number in range(50)]
    jobs = client.submit_many([*requests, Generate("chat:1", [HI]), Generate("chat:1", {"prompt": ["a", "b"]})])
    data = [job.record().spec["data"] for job in jobs]
    blocks = {each["block"] for each in data if isinstance(each, dict)}
    assert len(blocks) == 3
    assert [job.record().rows_total for job in jobs] == [1] * 51 + [2]
    assert jobs[7].record().spec["max_tokens"] == 4
    with pytest.raises(InvalidInput) as refused:
        client.submit_many([*requests[:2], Generate("chat:1", [""], max_tokens=4), Infer("topics", ["Hi"])])
    assert refused.value.field == "requests[2].data"


def test_a_key_stands_for_one_request(client: Client) -> None:
    first = client.generate("chat:1", ["Hi"], idempotency_key="one", max_tokens=4)
    assert client.generate("chat:1", ["Hi"], idempotency_key="one", max_tokens=4).id == first.id
    for data, options in ((["Ho"], {"max_tokens": 4}), (["Hi"], {"max_tokens": 5})):
        with pytest.raises(InvalidInput, match="idempotency_key"):
            client.generate("chat:1", data, idempotency_key="one", **options)  # type: ignore[arg-type]


def test_what_is_stored_is_what_was_asked_for(client: Client) -> None:
    schema: dict[str, Json] = {"type": "object", "properties": {"a": {"type": "integer"}}}
    job = client.generate("chat", [{"id": 1, "prompt": "Hi"}], schema=schema, stop="x", keep=["id"], n=2, temperature=1)
    stored = {key: value for key, value in job.record().spec.items() if key != "data"}
    assert stored == {"json_schema": schema, "stop": ["x"], "keep": ["id"], "n": 2, "temperature": 1.0}


def test_every_container_of_rows_is_taken(client: Client) -> None:
    frame = pd.DataFrame({"messages": [HI, HI], "seed": [1, None]})
    for data, rows in (
        ("Why is the sky blue?", 1),
        (HI, 1),
        ([HI, HI], 2),
        ({"prompt": ["a", "b", "c"]}, 3),
        (pa.table({"prompt": ["a"], "other": [1]}), 1),
        (frame, 2),
    ):
        assert client.generate("chat", data).record().rows_total == rows


def test_a_chain_generates_with_the_version_that_its_training_makes(client: Client, tmp_path: Path) -> None:
    path = tmp_path / "prompts.csv"
    path.write_text("prompt,max_tokens\nHi,3\nHo,4\n")
    training = client.train("own", "mlp", {"x": [1.0, 2.0], "y": ["a", "b"]}, "y")
    after = training.then.generate(path, temperature=0.5, keep=["max_tokens"])
    record = after.record()
    assert (record.state, record.kind, record.depends_on, record.version) == (
        State.WAITING,
        "generate",
        training.id,
        None,
    )
    assert borders(client, after.id) == [("generate", 0, 2)]
    assert borders(client, training.then.generate(["Hi"] * 300).id) == [("generate", 0, 256), ("generate", 256, 300)]
    with pytest.raises(InvalidInput, match="data: row 0: prompt: empty"):
        training.then.generate([""])


def test_coroutines_generate_too(client: Client, settings: Settings) -> None:
    async def submit() -> list[int | None]:
        addresses = {"redis_url": settings.redis_url, "database_url": settings.database_url, "store": settings.store}
        async with AsyncClient(**addresses, producer="tests") as asynchronous:
            jobs = await asyncio.gather(
                *(asynchronous.generate("chat:1", [f"Say {number}"]) for number in range(20)),
                asynchronous.generate("chat:1", "A prompt of words", max_tokens=2),
                asynchronous.generate("chat:1", ["Hi"] * 300),
            )
            with pytest.raises(InvalidInput, match="row 0: prompt: empty"):
                await asynchronous.generate("chat:1", [""])
            return [(await job.record()).rows_total for job in jobs]

    assert asyncio.run(submit()) == [1] * 21 + [300]


def test_the_command_submits(client: Client, shell: CommandLine, tmp_path: Path) -> None:
    (tmp_path / "schema.json").write_text('{"type": "object"}')
    done = shell(
        *("generate", "chat", "--prompt", "Hi", "--prompt", "Hello you", "--no-wait"),
        *("--schema", tmp_path / "schema.json", "--stop", "a", "--stop", "b"),
    )
    assert done.code == 0, done.err
    spec = client.job(done.out.strip()).record().spec
    assert (spec["json_schema"], spec["stop"]) == ({"type": "object"}, ["a", "b"])
    tools = '[{"type": "function", "function": {"name": "f"}}]'
    (tmp_path / "rows.jsonl").write_text(json.dumps({"messages": HI}) + "\n")
    fields = shell("generate", "tools", tmp_path / "rows.jsonl", "--tools", tools, "--no-wait", "--json").fields
    assert (fields["kind"], fields["total"], fields["unit"]) == ("generate", 1, "rows")
    listed = shell("jobs", "list", "--kind", "generate", "--json").document
    assert isinstance(listed, list)
    assert {each["kind"] for each in listed} == {"generate"}


@pytest.mark.parametrize(
    ("arguments", "reason"),
    [
        ((), "give DATA or --prompt"),
        (("rows.csv", "--prompt", "Hi"), "not both"),
        (("--prompt", "Hi", "--schema", "{"), "is not JSON"),
        (("--prompt", "Hi", "--schema", "no.json"), "neither JSON nor a file"),
        (("--prompt", "Hi", "--max-tokens", "600"), "max_tokens: 600"),
        (("-",), "standard input has no lines"),
    ],
)
def test_the_command_refuses(client: Client, shell: CommandLine, arguments: tuple[str, ...], reason: str) -> None:
    done = shell("generate", "chat", *arguments, "--no-wait")
    assert done.code == 2
    assert reason in done.err


def test_versions_say_that_they_generate(client: Client, shell: CommandLine) -> None:
    done = shell("models", "show", "chat")
    assert done.code == 0
    assert re.search(r"target +text \(generation\)\noutput +texts\n", done.out)
