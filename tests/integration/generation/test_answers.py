"""What a job answers is what transformers answers to each row alone, whatever the shards and whoever runs beside it."""

from __future__ import annotations

from pathlib import Path

import pytest

from longshore.producers import Client, Generate
from longshore.shared.vocabulary import State
from tests.integration.generation.answers import MODEL, answers_of, expected, import_model, prompts, usage_of
from tests.waiting import TIMEOUT_S


@pytest.fixture(scope="module")
def folder(client: Client, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return import_model(client, tmp_path_factory.mktemp("models"))


@pytest.mark.parametrize("rows_per_shard", [7, 60])
def test_answers_do_not_depend_on_shards_or_neighbours(client: Client, folder: Path, rows_per_shard: int) -> None:
    texts = prompts(60)
    others = client.submit_many([Generate(MODEL, [text], {"max_tokens": 5}) for text in texts[:8]])
    job = client.generate(MODEL, texts, max_tokens=12, rows_per_shard=rows_per_shard).wait(TIMEOUT_S)
    assert answers_of(job) == expected(folder, texts, 12)
    client.wait(others, TIMEOUT_S)
    assert [answers_of(other)[0] for other in others] == expected(folder, texts[:8], 5)
    record = job.record()
    assert (record.rows_done, record.rows_failed) == (60, 0)
    usage = usage_of(job)
    assert record.usage == usage
    assert min(usage["prompt_tokens"], usage["completion_tokens"]) > 60


def test_a_row_that_cannot_run_fails_alone_and_runs_again(client: Client, folder: Path) -> None:
    texts = [*prompts(4), "", *prompts(2)]
    job = client.generate(MODEL, texts, max_tokens=4, max_row_errors=1).wait(TIMEOUT_S)
    assert [(error.row, "prompt" in error.message) for error in job.errors()] == [(4, True)]
    assert (job.record().rows_done, job.record().rows_failed) == (6, 1)
    job.retry(rows="failed").wait(TIMEOUT_S)
    assert (job.state, job.record().rows_done, job.record().rows_failed) == (State.SUCCEEDED, 6, 1)
    assert [row.row for row in job.stream()] == [0, 1, 2, 3, 5, 6]
    assert job.rows_not_run() == []
