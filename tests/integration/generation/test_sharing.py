"""Jobs that share an engine: options, keys, priorities and errors stay with their job, and memory goes round."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator, Mapping
from functools import partial
from pathlib import Path

import psycopg
import pytest

from longshore.producers import Client, Generate, Job
from longshore.shared.errors import JobFailed
from longshore.shared.vocabulary import State
from tests.integration import digits
from tests.integration.cluster import Cluster
from tests.integration.generation.answers import MODEL, answers_of, expected, import_model, prompts
from tests.waiting import TIMEOUT_S, wait_until

ROWS, TOKENS = 1200, 16
OTHER = "poem"


@pytest.fixture(scope="module")
def worker_environment() -> Mapping[str, str]:
    return {"LONGSHORE_LEASE": "20"}


@pytest.fixture(scope="module")
def folder(client: Client, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return import_model(client, tmp_path_factory.mktemp("models"))


@pytest.fixture(scope="module")
def other(client: Client, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return import_model(client, tmp_path_factory.mktemp("models"), OTHER, seed=1)


@pytest.fixture
def busy(client: Client, folder: Path) -> Iterator[None]:
    """The engine runs a large job meanwhile."""
    job = client.generate(MODEL, prompts(ROWS), max_tokens=TOKENS)
    wait_until(lambda: job.record().rows_done > 0, "the first rows")
    yield
    job.wait(TIMEOUT_S)
    assert len(answers_of(job)) == ROWS


def test_keys_and_options_stay_with_their_job(client: Client, folder: Path, busy: None) -> None:
    texts = prompts(12)
    keyed = [{"id": number, "prompt": text} for number, text in enumerate(texts)]
    jobs = client.submit_many(
        [
            Generate(MODEL, keyed, {"max_tokens": 3, "keep": ["id"]}),
            Generate(MODEL, texts, {"max_tokens": 4}),
            Generate(MODEL, texts, {"max_tokens": 5, "priority": 9}),
        ]
    )
    client.wait(jobs, TIMEOUT_S)
    for job, tokens in zip(jobs, (3, 4, 5), strict=True):
        assert answers_of(job) == expected(folder, texts, tokens)
    assert [row.key for row in jobs[0].stream()] == [{"id": number} for number in range(12)]
    assert [row.key for row in jobs[1].stream()] == [None] * 12


def test_a_shard_that_cannot_be_read_fails_alone(
    cluster: Cluster, client: Client, folder: Path, tmp_path: Path, busy: None
) -> None:
    path = tmp_path / "prompts.jsonl"
    path.write_text('{"prompt": "the cat"}\n' * 8)
    (child,) = cluster.child_pids()
    os.kill(child, signal.SIGSTOP)
    bad = client.generate(MODEL, path, max_tokens=3)
    path.write_text("")
    os.kill(child, signal.SIGCONT)
    fine = client.generate(MODEL, ["the cat"], max_tokens=3).wait(TIMEOUT_S)
    with pytest.raises(JobFailed, match="bytes, but had"):
        bad.wait(TIMEOUT_S)
    assert answers_of(fine) == expected(folder, ["the cat"], 3)


def has_more(job: Job, rows: int) -> bool:
    return job.state.final or job.record().rows_done > rows


def test_connections_that_are_cut_cost_no_row(cluster: Cluster, client: Client, folder: Path) -> None:
    texts = prompts(ROWS)
    job = client.generate(MODEL, texts, max_tokens=TOKENS)
    cuts = 0
    with psycopg.connect(cluster.settings.database_url, autocommit=True) as conn:
        while not job.state.final:
            done = job.record().rows_done
            cut = conn.execute(
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity "
                "WHERE datname = current_database() AND application_name LIKE 'longshore worker%'"
            )
            cuts += cut.rowcount
            wait_until(partial(has_more, job, done), "more rows")
    assert cuts > 3
    assert job.state is State.SUCCEEDED, job.errors()
    assert answers_of(job)[::100] == expected(folder, texts[::100], TOKENS)
    assert (job.record().rows_done, job.errors()) == (ROWS, [])


def test_models_and_kinds_of_jobs_take_turns_on_a_worker(client: Client, folder: Path, other: Path) -> None:
    images, labels = digits.digits()
    client.train("digits", "linear", digits.table(images, labels), "label", epochs=1).wait(TIMEOUT_S)
    texts = prompts(5)
    jobs = []
    for _ in range(2):
        jobs += [client.generate(name, texts, max_tokens=6) for name in (MODEL, OTHER)]
        client.infer("digits", images[:10]).wait(TIMEOUT_S)
    client.wait(jobs, TIMEOUT_S)
    for job, path in zip(jobs, (folder, other) * 2, strict=True):
        assert answers_of(job) == expected(path, texts, 6)


def test_more_urgent_work_does_not_wait_for_the_whole_of_a_long_job(client: Client, folder: Path) -> None:
    images, labels = digits.digits()
    client.train("digits", "linear", digits.table(images, labels), "label", epochs=1).wait(TIMEOUT_S)
    texts = prompts(4 * ROWS)
    long = client.generate(MODEL, texts, max_tokens=TOKENS)
    wait_until(lambda: long.record().rows_done > 0, "the first rows")
    urgent = client.infer("digits", images[:10], priority=9).wait(TIMEOUT_S)
    ends = [job.wait(TIMEOUT_S).record().finished_at for job in (urgent, long)]
    assert ends == sorted(filter(None, ends))
    assert len(answers_of(long)) == len(texts)


def test_each_attempt_has_its_own_log(client: Client, folder: Path) -> None:
    job = client.generate(MODEL, prompts(80), max_tokens=3, rows_per_shard=40).wait(TIMEOUT_S)

    def own(shard: int, begin: str) -> list[str]:
        return [line.text for line in job.logs(shard=shard) if line.text.startswith(begin)]

    wait_until(lambda: own(0, "done") and own(1, "done"), "the last lines")
    for shard in (0, 1):
        (start,) = own(shard, "start")
        (done,) = own(shard, "done")
        assert f"{job.id}/{shard}/1: generate {MODEL}:1, rows {40 * shard} to {40 * shard + 40}" in start
        assert f"{job.id}/{shard}/1: generate {MODEL}:1, 40 rows in" in done
