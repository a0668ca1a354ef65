"""Failed rows run again by real workers, also when one is killed in the middle: every row exactly once."""

from __future__ import annotations

import json
import os
import signal
from pathlib import Path

import numpy as np
import pytest

from longshore.producers import Client
from longshore.shared.errors import InvalidInput, JobFailed
from longshore.shared.vocabulary import State
from tests.integration import digits
from tests.integration.cluster import Cluster
from tests.integration.command_line import CommandLine
from tests.integration.ledger import invariants
from tests.waiting import TIMEOUT_S, wait_until

#: Rows of a job, and of each of its shards; the killed one's take a while with the batches below.
ROWS, SHARD, BATCH = 40_000, 20_000, 1


@pytest.fixture(scope="module")
def trained(client: Client, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = digits.write(tmp_path_factory.mktemp("data") / "train.parquet")
    client.train("digits", "mlp", path, "label", epochs=2).wait(TIMEOUT_S)
    return path


def write(path: Path, rows: int, bad: range = range(0)) -> Path:
    """Images of digits, of which some hold no numbers. The file is as long whether they do or not."""
    images = np.resize(digits.digits()[0], (rows, 64))
    images[bad.start : bad.stop] = np.nan
    with (path.parent / "new").open("wb") as file:
        np.save(file, images)
    # In one step: the worker may still have the old one open.
    return Path(file.name).replace(path)


def test_rows_that_were_mended_run_alone(cluster: Cluster, client: Client, trained: Path, tmp_path: Path) -> None:
    path = write(tmp_path / "rows.npy", 300, range(90, 120))
    job = client.infer("digits", path, rows_per_shard=100, max_row_errors=0.2).wait(TIMEOUT_S)
    assert job.notes == ["30 of 300 rows failed, up to 60 were allowed"]
    write(path, 300, range(110, 112))
    job.retry(rows="failed").wait(TIMEOUT_S)
    assert job.notes == ["2 of 300 rows failed, up to 60 were allowed"]
    assert [error.row for error in job.errors()] == [110, 111]
    assert [shard.attempt for shard in job.shards()] == [2, 2, 1]
    record = job.record()
    assert (record.rows_done, record.rows_failed, record.rows_before_retry) == (298, 2, 270)
    write(path, 300)
    assert job.retry(rows="failed").wait(TIMEOUT_S).notes == []
    again = client.infer("digits", path).wait(TIMEOUT_S)
    ours, whole = job.results().to_arrow(), again.results().to_arrow()
    assert ours.select(["row", "label"]).equals(whole.select(["row", "label"]))
    # Rows that are computed in another batch differ in the last digits.
    assert np.allclose(ours["score"], whole["score"], atol=1e-5)
    invariants.check(cluster.ledger)
    with pytest.raises(InvalidInput, match=r"no row of .* failed"):
        job.retry(rows="failed")


def test_on_the_command_line(cluster: Cluster, trained: Path, tmp_path: Path) -> None:
    longshore = CommandLine(cluster.environment)
    path = write(tmp_path / "rows.npy", 20, range(3, 5))
    assert longshore("infer", "digits", path, "--wait").code == 1
    [job] = json.loads(longshore("jobs", "list", "--limit", "1", "--json").out)
    assert job["error"] == "2 of 20 rows failed, none were allowed; the others have results"
    refused = longshore("jobs", "retry", job["id"])
    assert refused.code == 2
    assert "--rows failed" in refused.err
    write(path, 20)
    done = longshore("jobs", "retry", job["id"], "--rows", "failed", "--wait", "--json").fields
    assert (done["state"], done["done"], done["failed"], done["notes"]) == ("succeeded", 20, 0, [])


def test_a_wrong_choice_of_rows_is_refused(client: Client, trained: Path) -> None:
    job = client.infer("digits", digits.digits()[0][:1]).wait(TIMEOUT_S)
    with pytest.raises(InvalidInput, match="rows: 'all': must be 'failed' or None"):
        job.retry(rows="all")  # type: ignore[arg-type]


def test_a_small_job_whose_rows_fail_again_fails_again(client: Client, trained: Path) -> None:
    rows = [{"pixels": row.tolist()} for row in digits.digits()[0][:4]]
    rows[2] = {"pixels": None}
    job = client.infer("digits", rows)
    for _ in range(2):
        with pytest.raises(JobFailed, match="1 of 4 rows failed"):
            job.wait(TIMEOUT_S)
        assert job.results()["row"].to_pylist() == [0, 1, 3]
        job.retry(rows="failed")
    with pytest.raises(JobFailed, match="1 of 4 rows failed"):
        job.wait(TIMEOUT_S)
    assert [shard.attempt for shard in job.shards()] == [3]


def test_the_worker_is_killed_while_failed_rows_run(
    cluster: Cluster, client: Client, trained: Path, tmp_path: Path
) -> None:
    bad = range(100, ROWS - 100)
    path = write(tmp_path / "rows.npy", ROWS, bad)
    job = client.infer("digits", path, rows_per_shard=SHARD, batch_size=BATCH, max_row_errors=ROWS).wait(TIMEOUT_S)
    assert job.progress.failed == len(bad)
    write(path, ROWS)
    job.retry(rows="failed")
    wait_until(lambda: job.record().rows_running > 0, "the first progress of the retry")
    child = cluster.child_pids()[0]
    os.kill(child, signal.SIGKILL)
    job.wait(TIMEOUT_S)
    assert any("its process was killed (SIGKILL)" in error.message for error in job.errors())
    table = job.results()
    assert table["row"].to_numpy().tolist() == list(range(ROWS))
    labels = table["label"].to_numpy()
    period = len(digits.digits()[0])
    assert np.array_equal(labels[period:], labels[:-period])
    record = job.record()
    assert (record.state, record.rows_done, record.rows_failed) == (State.SUCCEEDED, ROWS, 0)
    invariants.check(cluster.ledger)
