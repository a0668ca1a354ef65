"""Jobs that a worker with vLLM runs, on a CPU in float32, against transformers."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import jsonschema
import pytest
import torch
from pydantic import JsonValue
from transformers import AutoModelForCausalLM, AutoTokenizer

from longshore.producers import Client
from longshore.producers.options.keywords import GenerateOptions
from tests.integration.cluster import Cluster
from tests.integration.gateway_beside import running_gateway
from tests.integration.text_events import Events
from tests.language_models import SENTENCES, save_language_model
from tests.vllm_environment import vllm_python, vllm_variables
from tests.waiting import TIMEOUT_S, wait_until

#: The first test builds an environment, which can take minutes.
pytestmark = [
    pytest.mark.timeout(2400),
    pytest.mark.filterwarnings("ignore::FutureWarning", "ignore::DeprecationWarning"),
]
PROMPTS = [f"{sentence} {number}" for number in range(8) for sentence in SENTENCES]
TOKENS = 12
SCHEMA: dict[str, JsonValue] = {
    "type": "object",
    "properties": {"name": {"type": "string", "maxLength": 6}, "age": {"type": "integer", "maximum": 99, "minimum": 0}},
    "required": ["name", "age"],
    "additionalProperties": False,
}


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    root = tmp_path_factory.mktemp("models")
    for seed in range(2):
        save_language_model(root / str(seed), width=128, seed=seed)
    return [root / "0", root / "1"]


@pytest.fixture(scope="module")
def client(cluster: Cluster, folders: list[Path]) -> Iterator[Client]:
    """Has chat:1 and other:1, and a worker that has vLLM instead of the usual one."""
    python, variables = vllm_python(), vllm_variables()
    cluster.stop_workers()
    # The device of the usual worker under another name, so that the wait is for this one.
    command = [str(python), "-m", "longshore.workers.process.supervisor", "--devices", "cpu"]
    with (
        cluster.other_workers(command, {**variables, "OMP_NUM_THREADS": "1"}) as process,
        cluster.client("texts") as client,
    ):
        wait_until(
            lambda: process.poll() is not None or any(each.alive for each in cluster.ledger.workers.workers()),
            "the start of the worker",
        )
        assert process.poll() is None, cluster.log("other workers")
        client.models.import_(folders[0], "chat", "production")
        client.models.import_(folders[1], "other")
        yield client


def reference(folder: Path, prompts: list[str]) -> list[str]:
    """What transformers writes for each prompt alone, always taking the most probable token."""
    tokenizer = AutoTokenizer.from_pretrained(folder)
    model = AutoModelForCausalLM.from_pretrained(folder)
    texts = []
    for prompt in prompts:
        ids = torch.tensor([tokenizer(prompt)["input_ids"]])
        written = model.generate(ids, attention_mask=torch.ones_like(ids), max_new_tokens=TOKENS, do_sample=False)  # type: ignore[misc]
        text = str(tokenizer.decode(written[0, ids.shape[1] :], skip_special_tokens=True))
        texts.append(text.replace("\x00", "\N{REPLACEMENT CHARACTER}"))  # Postgres has no other way to store it
    return texts


def test_texts_are_those_of_transformers_with_other_jobs_beside(client: Client, folders: list[Path]) -> None:
    job = client.generate("chat@production", PROMPTS, max_tokens=TOKENS, engine="vllm", rows_per_shard=16)
    beside = [client.generate("chat:1", [prompt], max_tokens=TOKENS, engine="vllm") for prompt in PROMPTS[:3]]
    expected = reference(folders[0], PROMPTS)
    assert len(set(expected)) > len(expected) // 2
    assert job.wait(TIMEOUT_S).results().texts == expected
    for each, text in zip(beside, expected, strict=False):
        assert each.wait(TIMEOUT_S).results().texts == [text]
    for row in job.results():
        usage = row.output["usage"]
        assert isinstance(usage, dict)
        assert usage["completion_tokens"] in range(1, TOKENS + 1)


def test_another_model_takes_the_place_of_the_first(client: Client, folders: list[Path]) -> None:
    for name, folder in (("other", folders[1]), ("chat", folders[0])):
        job = client.generate(name, PROMPTS[:4], max_tokens=TOKENS, engine="vllm")
        assert job.wait(TIMEOUT_S).results().texts == reference(folder, PROMPTS[:4])


def test_documents_match_their_schema(client: Client) -> None:
    job = client.generate("chat", PROMPTS, max_tokens=120, temperature=1.0, seed=3, schema=SCHEMA, engine="vllm")
    for row in job.wait(TIMEOUT_S).results():
        jsonschema.validate(row.output["data"], SCHEMA)


def test_samples_have_probabilities_and_seeds(client: Client) -> None:
    options = {"max_tokens": TOKENS, "temperature": 1.0, "seed": 5, "n": 3, "logprobs": 2, "engine": "vllm"}
    first, second = (client.generate("chat", PROMPTS[:2], **options).wait(TIMEOUT_S).results() for _ in range(2))  # type: ignore[arg-type]
    for row, again in zip(first, second, strict=True):
        choices = row.output["choices"]
        assert isinstance(choices, list)
        assert len({str(choice) for choice in choices}) == 3
        assert row.output["text"] == again.output["text"]


def test_texts_come_while_they_are_written(client: Client, cluster: Cluster) -> None:
    options: GenerateOptions = {"max_tokens": 40, "stop": ["\ufffdo", "e"], "min_tokens": 3, "engine": "vllm"}
    texts = client.generate("chat", PROMPTS[:6], **options).wait(TIMEOUT_S).results().texts
    with running_gateway(cluster) as gateway, gateway.http(producer="texts") as http:
        body = {"prompt": PROMPTS[:6], "options": options}
        with http.stream("POST", "/v1/models/chat/generate", json={**body, "stream": True}) as answer:
            events = Events(answer.iter_lines()).read()
    assert [events.rows[row]["text"] for row in range(6)] == texts
    assert [events.texts[row, 0] for row in range(6)] == texts
    assert "restart" not in events.names
    assert events.names.count("text") > 6
