"""Outputs in files: what they hold, and that each part is there once and whole, whatever happens to workers."""

from __future__ import annotations

import json
import os
import signal
from collections.abc import Iterator, Mapping
from contextlib import suppress
from datetime import date
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from longshore.broker.app import make_app
from longshore.broker.publishing import publish
from longshore.producers import Client, Job
from longshore.shared.errors import InvalidInput, JobFailed
from longshore.shared.ledger.records import Ticket
from longshore.shared.vocabulary import State
from longshore.workers.process.draining import DRAIN_SIGNAL
from tests.integration import digits
from tests.integration.cluster import Cluster
from tests.waiting import TIMEOUT_S, wait_until

pytestmark = pytest.mark.slow

#: Rows of the inputs here, and in a shard where it matters: so many that shards do not share a message.
ROWS, SHARD = 1700, 700
MOMENTS = ("before the decision", "before the rename", "after the rename")


@pytest.fixture(scope="module")
def devices() -> str:
    return "cpu:2"


@pytest.fixture(scope="module")
def gates(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where a file named like one of MOMENTS holds workers up."""
    return tmp_path_factory.mktemp("gates")


@pytest.fixture(scope="module")
def worker_environment(gates: Path) -> Mapping[str, str]:
    folder = Path(__file__).with_name("gated")
    paths = [str(folder), *filter(None, [os.environ.get("PYTHONPATH")])]
    return {"LONGSHORE_LEASE": "2", "LONGSHORE_TEST_GATES": str(gates), "PYTHONPATH": os.pathsep.join(paths)}


@pytest.fixture(scope="module")
def client(cluster: Cluster) -> Iterator[Client]:
    with cluster.client() as client:
        client.train("digits", "linear", _rows(), "label", epochs=2, features=["pixels"]).wait(TIMEOUT_S)
        yield client


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("data") / "rows.parquet"
    pq.write_table(_rows(), path, row_group_size=SHARD)
    return path


@pytest.fixture(scope="module")
def expected(client: Client, data: Path) -> pa.Table:
    """The same rows' results in the table."""
    return client.infer("digits:1", data, rows_per_shard=SHARD).wait(TIMEOUT_S).results()


def _rows() -> pa.Table:
    images, labels = digits.digits()
    table = digits.table(images[:ROWS], labels[:ROWS])
    table = table.append_column("id", pa.array([f'n"{row}\\' for row in range(ROWS)]))
    table = table.append_column("day", pa.array([date(2026, 1, 1 + row % 28) for row in range(ROWS)]))
    return table.append_column("tags", pa.array([[str(row)] * (row % 3) for row in range(ROWS)]))


def read(job: Job) -> pa.Table:
    """The rows of all parts."""
    return pa.concat_tables([pq.read_table(part) for part in job.parts()])


def check_whole(job: Job, expected: pa.Table) -> None:
    """Every shard has its part, and nothing else lies in the folder."""
    folder = Path(job.parts()[0]).parent
    wait_until(lambda: not list(folder.glob("_longshore-*")), "the removal of what is hidden")
    assert sorted(map(str, folder.iterdir())) == sorted(job.parts())
    assert [Path(part).name for part in job.parts()] == [f"{job.id}-{number:05}.parquet" for number in range(3)]
    table = read(job)
    assert table.column_names == ["row", "id", "label", "score"]
    assert table["row"].to_pylist() == list(range(ROWS))
    assert table["id"].to_pylist() == _rows()["id"].to_pylist()
    assert table["label"].to_pylist() == expected["label"].to_pylist()
    np.testing.assert_allclose(table["score"], expected["score"], rtol=1e-4)
    record = job.record()
    assert (record.state, record.rows_done, record.rows_failed) == (State.SUCCEEDED, ROWS, 0)
    assert (record.shards_done, record.shards_total) == (3, 3)


def submit(client: Client, data: Path, folder: Path, **options: object) -> Job:
    return client.infer("digits:1", data, output=f"{folder}/*.parquet", keep=["id"], rows_per_shard=SHARD, **options)  # type: ignore[arg-type]


def test_parquet_has_the_kept_columns_and_the_outputs_in_order(
    client: Client, data: Path, expected: pa.Table, tmp_path: Path
) -> None:
    job = client.infer("digits:1", data, output=f"{tmp_path}/new/o-*.parquet", keep=["tags", "pixels", "day"])
    table = read(job.wait(TIMEOUT_S))
    assert table.drop_columns(["row", "label", "score"]) == _rows().select(["tags", "pixels", "day"])
    assert table.schema.field("row").type == pa.int64()
    assert table["label"].to_pylist() == expected["label"].to_pylist()
    assert [Path(part).name for part in job.parts()] == [f"o-{job.id}-00000.parquet"]
    with pytest.raises(InvalidInput, match=rf"{job.id} writes its outputs to {tmp_path}/new/o-\*\.parquet"):
        job.results()


def test_a_job_of_several_shards_writes_a_part_for_each(
    client: Client, data: Path, expected: pa.Table, tmp_path: Path
) -> None:
    check_whole(submit(client, data, tmp_path).wait(TIMEOUT_S), expected)


def test_json_lines_say_the_same(client: Client, data: Path, expected: pa.Table, tmp_path: Path) -> None:
    job = client.infer("digits:1", data, output=f"{tmp_path}/*.jsonl", keep=["id", "day", "tags"], rows_per_shard=SHARD)
    job.wait(TIMEOUT_S)
    rows = [json.loads(line) for part in job.parts() for line in Path(part).read_text().splitlines()]
    assert [list(row) for row in rows[:1]] == [["row", "id", "day", "tags", "label", "score"]]
    wanted = _rows().select(["id", "day", "tags"]).to_pylist()
    kept = [{"id": row["id"], "day": date.fromisoformat(row["day"]), "tags": row["tags"]} for row in rows]
    assert kept == wanted
    assert [row["row"] for row in rows] == list(range(ROWS))
    assert [row["label"] for row in rows] == expected["label"].to_pylist()


def test_both_the_table_and_files(client: Client, data: Path, expected: pa.Table, tmp_path: Path) -> None:
    job = submit(client, data, tmp_path, results=True, top_k=2).wait(TIMEOUT_S)
    table, rows = job.results(), read(job)
    assert table["row"].to_pylist() == rows["row"].to_pylist() == list(range(ROWS))
    assert table["label"].to_pylist() == rows["label"].to_pylist() == expected["label"].to_pylist()
    assert table["score"].cast(pa.float32()) == rows["score"]
    firsts = [(top[0]["label"], top[0]["score"]) for top in rows["top_k"].to_pylist()]
    assert firsts == list(zip(rows["label"].to_pylist(), rows["score"].to_pylist(), strict=True))


def test_rows_with_the_call_keep_columns_that_the_model_does_not_read(client: Client, tmp_path: Path) -> None:
    rows = [{"id": None if row == 1 else str(row), "pixels": [float(row)] * digits.WIDTH} for row in range(3)]
    job = client.infer("digits:1", rows, output=f"{tmp_path}/*.parquet", keep=["id"]).wait(TIMEOUT_S)
    assert read(job)["id"].to_pylist() == ["0", None, "2"]


def test_rows_with_errors_are_left_out_and_a_shard_of_them_has_no_part(client: Client, tmp_path: Path) -> None:
    good, bad = [1.0] * digits.WIDTH, [1.0]
    rows = [{"id": row, "pixels": good if row in (0, 2) else bad} for row in range(6)]
    job = client.infer(
        "digits:1", rows, output=f"{tmp_path}/out/*.parquet", keep=["id"], rows_per_shard=3, results=True
    )
    with pytest.raises(JobFailed):
        job.wait(TIMEOUT_S)
    assert len(job.parts()) == 1
    assert read(job)["id"].to_pylist() == read(job)["row"].to_pylist() == [0, 2]
    assert job.results()["row"].to_pylist() == [0, 2]
    assert [error.row for error in job.errors()] == [1, 3, 4, 5]
    record = job.record()
    assert (record.rows_done, record.rows_failed, record.shards_done) == (2, 4, 2)


@pytest.mark.parametrize("suffix", ["parquet", "jsonl"])
def test_kept_columns_of_a_csv_file_are_carried_as_they_are_written(
    client: Client, tmp_path: Path, suffix: str
) -> None:
    client.train("points", "linear", [{"x": 1.0, "y": 1.0}, {"x": 2.0, "y": 2.0}], "y", epochs=1, validation=0).wait(
        TIMEOUT_S
    )
    # More than a block of a text file.
    lines = [f"{row % 7},{row:05},{'.' * 300}" for row in range(30_000)]
    lines[29_000] = f"1,odd,{'.' * 300}"
    (tmp_path / "rows.csv").write_text("x,number,filler\n" + "\n".join(lines) + "\n")
    job = client.infer("points", tmp_path / "rows.csv", output=f"{tmp_path}/out/*.{suffix}", keep=["number"])
    job.wait(TIMEOUT_S)
    if suffix == "parquet":
        numbers = read(job)["number"].to_pylist()
    else:
        numbers = [json.loads(line)["number"] for part in job.parts() for line in Path(part).read_text().splitlines()]
    assert numbers == ["odd" if row == 29_000 else f"{row:05}" for row in range(30_000)]


@pytest.mark.parametrize("results", [None, True])
@pytest.mark.parametrize("moment", MOMENTS)
def test_a_worker_is_killed(
    cluster: Cluster,
    client: Client,
    data: Path,
    expected: pa.Table,
    gates: Path,
    tmp_path: Path,
    moment: str,
    results: bool | None,
) -> None:
    job = reach(client, data, gates, tmp_path, moment, results)
    try:
        for pid in held(gates, moment):
            os.kill(pid, signal.SIGKILL)
    finally:
        open_gate(gates, moment)
    check_whole(job.wait(TIMEOUT_S), expected)
    assert any("its process was killed (SIGKILL)" in error.message for error in job.errors())
    if results:
        assert job.results()["row"].to_pylist() == list(range(ROWS))


@pytest.mark.parametrize("ending", [signal.SIGKILL, DRAIN_SIGNAL])
def test_a_shard_that_is_held_while_another_is_written_is_not_lost(
    cluster: Cluster,
    client: Client,
    data: Path,
    expected: pa.Table,
    gates: Path,
    tmp_path: Path,
    ending: signal.Signals,
) -> None:
    tries = 2 if ending is signal.SIGKILL else 1
    job = reach(client, data, gates, tmp_path, "before the decision", max_attempts=tries)
    parents = cluster.worker_pids()
    try:
        wait_until(lambda: len(held(gates, "before the decision")) == 2, "both workers before the decision")
        # Two shards are written, and the third is taken already.
        wait_until(lambda: {shard.state for shard in job.shards()} == {State.RUNNING}, "the claim of the third shard")
        for pid in held(gates, "before the decision"):
            os.kill(pid, ending)
    finally:
        open_gate(gates, "before the decision")
    if ending is DRAIN_SIGNAL:  # which comes from the parent, when it is stopped
        for pid in parents:
            os.kill(pid, signal.SIGTERM)
        cluster.wait_for_workers(other_than=parents)
    check_whole(job.wait(TIMEOUT_S), expected)
    assert [shard.attempt for shard in job.shards()] == [2, 2, 2]
    # The third, which was only held, is handed back.
    assert len(job.errors()) == (2 if ending is signal.SIGKILL else 0)


@pytest.mark.parametrize("moment", MOMENTS)
def test_a_frozen_worker_wakes_beside_a_newer_attempt(
    client: Client, data: Path, expected: pa.Table, gates: Path, tmp_path: Path, moment: str
) -> None:
    job = reach(client, data, gates, tmp_path, moment)
    frozen = held(gates, moment)[0]
    os.kill(frozen, signal.SIGSTOP)
    try:
        open_gate(gates, moment)
        job.wait(TIMEOUT_S)
        before = {part: (Path(part).stat().st_ino, Path(part).read_bytes()) for part in job.parts()}
    finally:
        with suppress(ProcessLookupError):  # its parent has ended it
            os.kill(frozen, signal.SIGCONT)
    # The worker that was frozen is one of the two that take these.
    client.wait([client.infer("digits:1", _rows().slice(0, 2), rows_per_shard=1) for _ in range(4)], TIMEOUT_S)
    assert {part: (Path(part).stat().st_ino, Path(part).read_bytes()) for part in job.parts()} == before
    check_whole(job, expected)


def test_a_cancelled_job_leaves_nothing_that_readers_see_and_can_be_retried(
    client: Client, data: Path, expected: pa.Table, gates: Path, tmp_path: Path
) -> None:
    job = reach(client, data, gates, tmp_path, "before the decision")
    job.cancel()
    open_gate(gates, "before the decision")
    wait_until(lambda: not list(tmp_path.iterdir()), "the removal of what was written")
    assert job.parts() == []
    check_whole(job.retry().wait(TIMEOUT_S), expected)


def test_a_part_that_cannot_be_published_fails_the_job_and_a_retry_publishes_it(
    client: Client, data: Path, expected: pa.Table, gates: Path, tmp_path: Path
) -> None:
    job = reach(client, data, gates, tmp_path, "before the rename", max_attempts=2)
    obstacle = tmp_path / f"{job.id}-00001.parquet"
    obstacle.mkdir()
    open_gate(gates, "before the rename")
    with pytest.raises(JobFailed, match=f"cannot write {obstacle}"):
        job.wait(TIMEOUT_S)
    assert str(obstacle) not in job.parts()
    obstacle.rmdir()
    check_whole(job.retry().wait(TIMEOUT_S), expected)


def test_doubled_tickets_write_nothing_twice(
    cluster: Cluster, client: Client, data: Path, expected: pa.Table, gates: Path, tmp_path: Path
) -> None:
    job = reach(client, data, gates, tmp_path, "before the decision")
    record = job.record()
    tickets = [
        Ticket(job.id, shard.index, shard.action, record.queue, 4, shard.start, shard.stop, "digits", 1)
        for shard in job.shards()
    ]
    app = make_app(cluster.settings)
    for _ in range(3):
        publish(app, cluster.ledger, tickets)
    app.close()
    open_gate(gates, "before the decision")
    check_whole(job.wait(TIMEOUT_S), expected)
    assert [shard.attempt for shard in job.shards()] == [1, 1, 1]


def test_a_part_that_was_removed_after_the_decision_fails_the_job(
    client: Client, data: Path, gates: Path, tmp_path: Path
) -> None:
    job = reach(client, data, gates, tmp_path, "before the rename")
    for path in (tmp_path / f"_longshore-{job.id}").iterdir():
        path.unlink()
    open_gate(gates, "before the rename")
    with pytest.raises(JobFailed, match="was written, but does not exist any more"):
        job.wait(TIMEOUT_S)


def reach(
    client: Client, data: Path, gates: Path, folder: Path, moment: str, results: bool | None = None, **options: object
) -> Job:
    """A job of which a worker is held at a moment."""
    for stale in gates.iterdir():
        stale.rmdir()
    (gates / moment).touch()
    job = submit(client, data, folder, results=results, **options)
    wait_until(lambda: held(gates, moment), f"a worker {moment}")
    return job


def held(gates: Path, moment: str) -> list[int]:
    """The processes that wait at a moment."""
    return [int(path.suffix[1:]) for path in gates.glob(f"{moment}.*")]


def open_gate(gates: Path, moment: str) -> None:
    (gates / moment).unlink()
