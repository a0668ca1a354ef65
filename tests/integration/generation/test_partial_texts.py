"""Texts that are longer than a worker lives: another attempt goes on with them, and the outcome does not show it."""

from __future__ import annotations

import signal
from collections.abc import Mapping
from pathlib import Path
from uuid import UUID

import psutil
import pytest
from pydantic import JsonValue

from longshore.producers import Client
from longshore.producers.job import Job
from longshore.shared.vocabulary import State
from tests.integration.cluster import Cluster
from tests.integration.generation.answers import MODEL, import_model
from tests.integration.generation.test_kept_rows import generated
from tests.integration.monitoring.test_metrics import free_ports
from tests.waiting import TIMEOUT_S, wait_until

#: Texts of as many tokens as the model has room for, with whatever looks at the tokens before.
LENGTH = 480
NONE = dict.fromkeys(
    ("temperature", "seed", "n", "logprobs", "presence_penalty", "frequency_penalty", "repetition_penalty")
)
DRAWN = {**NONE, "temperature": 0.9, "seed": 5}
ROWS = [
    {"prompt": "the cat sat", **NONE},
    {"prompt": "a dog ran", **DRAWN, "n": 2, "logprobs": 1},
    {"prompt": "once upon", **DRAWN, "presence_penalty": 1.5, "frequency_penalty": 0.5},
    {"prompt": "stocks rose", **NONE, "repetition_penalty": 1.2},
    *({"prompt": f"the blue moon {number}", **NONE} for number in range(12)),
]
TEXTS = len(ROWS) + 1
#: Tokens of each text that are saved before the worker is killed.
ENOUGH = 40


@pytest.fixture(scope="module")
def port() -> int:
    """That of the relay; the worker has the next one."""
    return free_ports(2)


@pytest.fixture(scope="module")
def worker_environment(port: int) -> Mapping[str, str]:
    return {"LONGSHORE_METRICS_PORT": str(port), "LONGSHORE_TEXT_SAVE_INTERVAL": "0.1", "LONGSHORE_LEASE": "120"}


@pytest.fixture(scope="module", autouse=True)
def folder(client: Client, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return import_model(client, tmp_path_factory.mktemp("models"))


def saved(cluster: Cluster, job: UUID) -> list[int]:
    """Tokens that are saved of each text."""
    with cluster.ledger.database.connection() as conn:
        rows = conn.execute(
            'SELECT sum(cardinality(tokens)) FROM partial_texts WHERE job_id = %s GROUP BY row, "index"', [job]
        ).fetchall()
    return [int(count) for (count,) in rows]


def wait_for_saved(cluster: Cluster, job: UUID, tokens: int) -> int:
    """Wait until something is saved of each text. Returns how many tokens are."""
    wait_until(lambda: len(counts := saved(cluster, job)) == TEXTS and min(counts) >= tokens, "texts that are saved")
    return sum(saved(cluster, job))


def texts_of(job: Job) -> list[JsonValue]:
    """The outputs by row; of log probabilities, the tokens."""

    def without_values(value: JsonValue) -> JsonValue:
        if isinstance(value, list):
            return [without_values(each) for each in value]
        if isinstance(value, dict):
            return {name: without_values(each) for name, each in value.items() if name not in ("logprob", "top")}
        return value

    return [without_values(row.output) for row in job.stream()]


def test_long_texts_outlive_a_worker_that_is_killed_and_one_that_stops(
    cluster: Cluster, client: Client, port: int
) -> None:
    undisturbed = client.generate(MODEL, ROWS, max_tokens=LENGTH, min_tokens=LENGTH).wait(TIMEOUT_S)
    job = client.generate(MODEL, ROWS, max_tokens=LENGTH, min_tokens=LENGTH)

    first = wait_for_saved(cluster, job.id, ENOUGH)
    (child,) = [psutil.Process(pid) for pid in cluster.child_pids()]
    child.send_signal(signal.SIGKILL)
    wait_until(lambda: not child.is_running(), "the end of the child")
    at_kill = generated(port)
    # The first may have saved more before it was killed.
    wait_for_saved(cluster, job.id, sum(saved(cluster, job.id)) // TEXTS + ENOUGH)
    by_second = generated(port) - at_kill
    # The worker stops, and hands back what it has.
    cluster.stop_workers()
    handed_back = sum(saved(cluster, job.id))
    assert {shard.state for shard in job.shards()} == {State.QUEUED}
    assert 0 < by_second <= handed_back - first
    cluster.start_workers()
    job.wait(TIMEOUT_S)

    # Those of the worker that has stopped are not among them.
    assert generated(port) == TEXTS * LENGTH - handed_back
    assert texts_of(job) == texts_of(undisturbed)
    record = job.record()
    assert (record.state, record.rows_done, record.usage) == (State.SUCCEEDED, len(ROWS), undisturbed.record().usage)
    assert saved(cluster, job.id) == []
