"""Gateways, the relay and a worker are killed while batches run: nothing is lost, and nothing is there twice."""

from __future__ import annotations

import os
import signal
from pathlib import Path

import openai

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
from tests.integration.gateway_beside import RunningGateway, running_gateway
from tests.language_models import save_language_model
from tests.text_models import save_sentence
from tests.waiting import wait_until

#: So that the batches of a killed gateway are taken over soon.
ENVIRONMENT = {"LONGSHORE_GATEWAY_BATCH_LEASE_S": "2"}


def test_everything_is_killed_and_nothing_is_lost(cluster: Cluster, tmp_path: Path) -> None:
    (tmp_path / "encoder").mkdir()
    save_sentence(tmp_path / "encoder")
    save_language_model(tmp_path / "chat")
    with cluster.client() as client:
        client.models.import_(tmp_path / "encoder", "encoder")
        client.models.import_(tmp_path / "chat", "chat")
    with running_gateway(cluster, ENVIRONMENT) as first, running_gateway(cluster, ENVIRONMENT) as second:
        with api_of(first) as api:
            chats = create(api, chat_lines(300, tokens=30), CHAT)
            embeddings = create(api, embedding_lines(1000), EMBEDDINGS)
            wait_until(lambda: count_done(api, chats.id) > 0, "the first lines")
        os.kill(cluster.child_pids()[0], signal.SIGKILL)
        cluster.kill_relay()
        first.process.send_signal(signal.SIGKILL)
        first.process.wait()
        cluster.start_relay()
        # The other one serves the same batches, and is killed as well; a third one ends them.
        with api_of(second) as api:
            assert api.batches.retrieve(chats.id).input_file_id == chats.input_file_id
        second.process.send_signal(signal.SIGKILL)
        second.process.wait()
        with running_gateway(cluster, ENVIRONMENT) as third, api_of(third) as api:
            done = end_of(api, chats), end_of(api, embeddings)
            assert [batch.status for batch in done] == ["completed", "completed"]
            chat_entries, embedding_entries = (entries_of(api, batch) for batch in done)
            assert chat_entries.ids == sorted(f"c{n}" for n in range(300))
            assert embedding_entries.ids == sorted(f"e{n}" for n in range(1000))
            assert not chat_entries.errors
            assert not embedding_entries.errors
            files = [file.id for file in api.files.list(purpose="batch_output")]
            assert len(files) == 2
            assert set(files) == {batch.output_file_id for batch in done}
    assert len(cluster.ledger.queries.jobs()) == 2


def api_of(gateway: RunningGateway) -> openai.OpenAI:
    """A caller."""
    return openai.OpenAI(base_url=f"{gateway.url}/v1", api_key=gateway.token("killed"))


def count_done(api: openai.OpenAI, id: str) -> int:
    """The lines that have an answer."""
    counts = api.batches.retrieve(id).request_counts
    return 0 if counts is None else counts.completed
