"""Batches, by the official package for OpenAI's API as it is."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import openai
import pytest
from transformers import AutoModelForCausalLM, AutoTokenizer

from longshore.producers import Client
from tests.integration.cluster import Cluster
from tests.integration.gateway.batch_calls import (
    CHAT,
    EMBEDDINGS,
    chat_lines,
    create,
    embedding_lines,
    end_of,
    entries_of,
)
from tests.integration.gateway_beside import RunningGateway
from tests.language_models import save_language_model
from tests.text_models import save_sentence
from tests.waiting import TIMEOUT_S

pytestmark = pytest.mark.filterwarnings("ignore::FutureWarning", "ignore::DeprecationWarning")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("models")


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
    assert done.created_at <= done.in_progress_at <= done.finalizing_at <= done.completed_at
    bodies = entries_of(api, done).bodies()
    expected = [
        row.output["embedding"]
        for row in client.infer("encoder:1", ["the the the the", "cat the the the"]).wait(TIMEOUT_S).results()
    ]
    for n, numbers in enumerate(expected):
        assert bodies[f"e{n}"]["data"][0]["embedding"] == pytest.approx(numbers, abs=1e-6)
    assert bodies.keys() == {f"e{n}" for n in range(1000)}

    done = end_of(api, chats)
    assert done.status == "completed"
    bodies = entries_of(api, done).bodies()
    assert bodies.keys() == {f"c{n}" for n in range(200)}
    tokenizer = AutoTokenizer.from_pretrained(folder / "chat")
    model = AutoModelForCausalLM.from_pretrained(folder / "chat")
    for n in (0, 99, 199):
        ids = tokenizer.apply_chat_template(
            [{"role": "user", "content": f"red {n}"}], add_generation_prompt=True, return_tensors="pt", return_dict=True
        )["input_ids"]
        text = tokenizer.decode(
            model.generate(ids, max_new_tokens=2, do_sample=False)[0, ids.shape[1] :], skip_special_tokens=True
        )
        assert bodies[f"c{n}"]["choices"][0]["message"]["content"] == text
    assert done.usage is not None
    assert done.usage.output_tokens == sum(body["usage"]["completion_tokens"] for body in bodies.values())
