"""Rows of long work: they are kept whatever becomes of the worker, of the attempt or of the job, and run once."""

from __future__ import annotations

import os
import signal
import urllib.request
from collections.abc import Mapping
from pathlib import Path

import pytest
from prometheus_client.parser import text_string_to_metric_families

from longshore.producers import Client, Generate
from longshore.producers.job import Job
from longshore.shared.vocabulary import State
from tests.integration.cluster import Cluster
from tests.integration.generation.answers import MODEL, answers_of, expected, import_model, prompts
from tests.integration.monitoring.test_metrics import free_ports
from tests.integration.support import expire
from tests.waiting import TIMEOUT_S, wait_until

#: Enough to run for some seconds, in shards of 256 rows.
ROWS, TOKENS = 1500, 16
#: Rows that are compared with transformers: each 100th.
STEP = 100


@pytest.fixture(scope="module")
def port() -> int:
    """That of the relay; the worker has the next one."""
    return free_ports(2)


@pytest.fixture(scope="module")
def worker_environment(port: int) -> Mapping[str, str]:
    return {"LONGSHORE_METRICS_PORT": str(port), "LONGSHORE_LEASE": "20"}


@pytest.fixture(scope="module")
def folder(client: Client, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return import_model(client, tmp_path_factory.mktemp("models"))


@pytest.fixture(scope="module")
def texts() -> list[str]:
    return prompts(ROWS)


def generated(port: int) -> float:
    """Tokens that the worker and its children have generated."""
    with urllib.request.urlopen(f"http://127.0.0.1:{port + 1}/metrics", timeout=TIMEOUT_S) as response:
        families = text_string_to_metric_families(response.read().decode())
        (value,) = [
            sample.value for each in families for sample in each.samples if "generated_tokens_total" in sample.name
        ]
    return float(value)


def wait_for_rows(job: Job, rows: int) -> None:
    wait_until(lambda: job.record().rows_done >= rows, f"{rows} rows")


def check(job: Job, folder: Path, texts: list[str]) -> list[str]:
    """Every row has one answer, and those that are compared are those of transformers."""
    answers = answers_of(job)
    assert len(answers) == len(texts)
    assert answers[::STEP] == expected(folder, texts[::STEP], TOKENS)
    record = job.record()
    assert (record.state, record.rows_done, record.rows_failed) == (State.SUCCEEDED, len(texts), 0)
    return answers


def test_a_worker_that_is_killed_twice_repeats_few_tokens(
    cluster: Cluster, client: Client, folder: Path, texts: list[str], port: int
) -> None:
    many = texts * 3
    before = generated(port)
    undisturbed = client.generate(MODEL, many, max_tokens=TOKENS).wait(TIMEOUT_S)
    tokens = generated(port) - before
    job = client.generate(MODEL, many, max_tokens=TOKENS)
    for rows in (len(many) // 3, 2 * len(many) // 3):
        wait_for_rows(job, rows)
        (child,) = cluster.child_pids()
        os.kill(child, signal.SIGKILL)
    job.wait(TIMEOUT_S)
    assert check(job, folder, many) == answers_of(undisturbed)
    assert generated(port) - before - tokens <= 1.15 * tokens
    usage = job.record().usage
    assert usage == undisturbed.record().usage
    assert usage is not None
    assert usage["completion_tokens"] <= tokens


def test_a_worker_that_dies_with_its_parent_leaves_its_rows(
    cluster: Cluster, client: Client, folder: Path, texts: list[str]
) -> None:
    job = client.generate(MODEL, texts, max_tokens=TOKENS)
    wait_for_rows(job, 1)
    (worker,) = cluster.worker_pids()
    os.kill(worker, signal.SIGKILL)
    cluster.wait_for_workers(other_than=[worker])
    job.wait(TIMEOUT_S)
    check(job, folder, texts)


def test_small_jobs_join_a_large_one_and_end_before_it(client: Client, folder: Path, texts: list[str]) -> None:
    large = client.generate(MODEL, texts, max_tokens=TOKENS)
    wait_for_rows(large, 1)
    small = [client.generate(MODEL, texts[:2], max_tokens=tokens) for tokens in (3, 5)]
    assert [answers_of(job.wait(TIMEOUT_S)) for job in small] == [expected(folder, texts[:2], n) for n in (3, 5)]
    large.wait(TIMEOUT_S)
    end = large.record().finished_at
    assert end is not None
    for job in small:
        finished = job.record().finished_at
        assert finished is not None
        assert finished < end
        assert job.shards()[0].worker == large.shards()[0].worker
    check(large, folder, texts)


def test_a_cancelled_job_keeps_its_rows_and_frees_the_engine(client: Client, folder: Path, texts: list[str]) -> None:
    cancelled = client.generate(MODEL, texts, max_tokens=TOKENS)
    other = client.generate(MODEL, texts[:32], max_tokens=TOKENS)
    wait_for_rows(cancelled, 1)
    cancelled.cancel()
    kept = [row.row for row in cancelled.stream()]
    check(other.wait(TIMEOUT_S), folder, texts[:32])
    record = cancelled.record()
    assert (record.state, record.rows_done) == (State.CANCELLED, len(kept))
    assert [row.row for row in cancelled.stream()] == kept
    assert sum(len(rows) for rows in cancelled.rows_not_run()) == ROWS - len(kept)
    cancelled.retry().wait(TIMEOUT_S)
    check(cancelled, folder, texts)


def test_an_attempt_that_loses_its_shard_stops_and_the_next_runs_the_rest(
    cluster: Cluster, client: Client, folder: Path, texts: list[str]
) -> None:
    job = client.generate(MODEL, texts, max_tokens=TOKENS)
    wait_for_rows(job, 1)
    running = next(shard.index for shard in job.shards() if shard.state is State.RUNNING)
    # A renewal or a commit of the same moment holds the shard, or the relay is faster.
    wait_until(lambda: job.errors() or expire(cluster.ledger, job.id, running), "the loss of the attempt")
    job.wait(TIMEOUT_S)
    check(job, folder, texts)
    assert [error.shard for error in job.errors()] == [running]


def test_a_worker_that_stops_hands_back_what_is_left(
    cluster: Cluster, client: Client, folder: Path, texts: list[str]
) -> None:
    job = client.generate(MODEL, texts, max_tokens=TOKENS)
    wait_for_rows(job, 1)
    cluster.stop_workers()
    done = job.record().rows_done
    assert 0 < done < ROWS
    assert {shard.state for shard in job.shards()} <= {State.SUCCEEDED, State.QUEUED}
    cluster.start_workers()
    job.wait(TIMEOUT_S)
    check(job, folder, texts)
    assert job.errors() == []


def test_small_jobs_that_wait_for_the_engine_are_handed_back_and_not_failed(
    cluster: Cluster, client: Client, folder: Path, texts: list[str]
) -> None:
    first = [{"prompt": text, "max_tokens": 2 if row == 0 else 400} for row, text in enumerate(texts[:30])]
    requests = [Generate(MODEL, first)] + [Generate(MODEL, texts[:30], {"max_tokens": 400})] * 19
    jobs = client.submit_many(requests)
    wait_until(lambda: jobs[0].record().rows_done > 0, "the first row")
    cluster.stop_workers()
    states = {shard.state for job in jobs for shard in job.shards()}
    errors = [error.message for job in jobs for error in job.errors()]
    for job in jobs:
        job.cancel()
    cluster.start_workers()
    assert errors == []
    assert State.QUEUED in states


def test_a_job_past_its_deadline_keeps_its_rows_and_goes_on_with_the_others(
    cluster: Cluster, client: Client, folder: Path, texts: list[str]
) -> None:
    job = client.generate(MODEL, texts, max_tokens=TOKENS, timeout=3600)
    wait_for_rows(job, 1)
    with cluster.ledger.database.connection() as conn:
        conn.execute(
            "UPDATE jobs SET created_at = created_at - interval '1 hour', deadline = deadline - interval '1 hour' "
            "WHERE id = %s",
            [job.id],
        )
    wait_until(lambda: job.state.final, "the deadline")
    record = job.record()
    kept = len(list(job.stream()))
    left = ROWS - kept
    assert (record.state, record.rows_done) == (State.FAILED, kept)
    assert record.outcome == {"expired": True, "rows_not_run": left}
    assert record.error == f"the job's timeout ran out: {left:,} of {ROWS:,} rows were not run; retry goes on with them"
    job.retry().wait(TIMEOUT_S)
    check(job, folder, texts)
    assert job.record().outcome is None
