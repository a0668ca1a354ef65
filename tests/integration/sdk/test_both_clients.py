"""Client and AsyncClient do the same, in the cluster and over HTTP."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import cast
from uuid import uuid4

import pyarrow as pa
import pytest

from longshore.producers import AsyncClient, Client, Evaluate, Infer, Job
from longshore.producers.http.aio.client import AsyncHttpClient
from longshore.producers.http.client import HttpClient
from longshore.shared.errors import InvalidInput, JobFailed, NotPromoted, UnknownJob, UnknownModel, WaitTimeout
from longshore.shared.vocabulary import State
from tests.integration import digits
from tests.integration.cluster import Cluster
from tests.integration.gateway_beside import running_gateway
from tests.integration.sdk.blocking import Blocking, Loop
from tests.waiting import TIMEOUT_S, wait_until

pytestmark = pytest.mark.slow

IMAGES, LABELS = digits.digits()


@pytest.fixture(scope="module", params=["Client", "AsyncClient", "Client over HTTP", "AsyncClient over HTTP"])
def client(request: pytest.FixtureRequest, cluster: Cluster) -> Iterator[Client]:
    with ExitStack() as stack:
        gateway = stack.enter_context(running_gateway(cluster)) if "HTTP" in request.param else None
        if request.param.startswith("Client"):
            made = cluster.client() if gateway is None else Client(gateway.url, token=gateway.token())
            yield stack.enter_context(made)
            return
        loop = Loop()
        stack.callback(loop.close)
        asynchronous = cluster.async_client() if gateway is None else AsyncClient(gateway.url, token=gateway.token())
        found = cast(Client, Blocking(asynchronous, loop))
        stack.callback(found.close)
        yield found


def is_over_http(client: Client) -> bool:
    """Whether a client speaks HTTP."""
    return isinstance(client._of if isinstance(client, Blocking) else client, HttpClient | AsyncHttpClient)


@pytest.fixture(scope="module")
def trained(client: Client) -> Job:
    job = client.train("digits", "linear", digits.table(IMAGES, LABELS), "label", epochs=2)
    assert job.wait(TIMEOUT_S).id == job.id
    return job


def test_a_training_makes_a_version(client: Client, trained: Job) -> None:
    assert trained.state is State.SUCCEEDED
    assert (trained.progress.done, trained.progress.total) == (2, 2)
    assert {metric.step for metric in trained.metrics()} == {1, 2}
    assert client.models.get("digits").job_id == trained.id
    assert "digits" in [model.name for model in client.models.list()]


def test_a_training_has_a_log(trained: Job) -> None:
    wait_until(lambda: any("done " in line.text for line in trained.logs()), "the last line of the log")
    texts = [line.text for line in trained.logs(shard=0, attempt=1)]
    assert texts == [line.text for line in trained.logs(follow=True)]
    assert len([text for text in texts if text.startswith("epoch ")]) == 2
    with pytest.raises(InvalidInput, match="attempt"):
        list(trained.logs(attempt=0))


def test_rows_in_memory_have_results(client: Client, trained: Job) -> None:
    job = client.infer("digits", IMAGES[:50], rows_per_shard=20)
    job.wait(TIMEOUT_S)
    table = job.results()
    assert table["row"].to_pylist() == list(range(50))
    streamed = list(job.stream())
    assert [each.row for each in streamed] == list(range(50))
    assert [each.output["label"] for each in streamed] == table["label"].to_pylist()
    assert [shard.state for shard in job.shards()] == [State.SUCCEEDED] * 3
    assert job.errors() == []


def test_results_come_with_the_kept_columns(client: Client, trained: Job) -> None:
    rows = digits.table(IMAGES[:10])
    # With characters that end a line for some readers of streams.
    ids = [f"image\u2028{row}\u2029\x85\x1c\r\n" for row in range(10)]
    job = client.infer("digits", rows.append_column("id", pa.array(ids)), keep=["id"])
    job.wait(TIMEOUT_S)
    results = job.results()
    assert results.to_pandas()["id"].tolist() == results.to_polars()["id"].to_list() == ids
    assert [row.key for row in results] == [row.key for row in job.stream()] == [{"id": id_} for id_ in ids]


def test_many_are_submitted_and_waited_for_together(client: Client, trained: Job) -> None:
    requests = [Infer("digits", IMAGES[row : row + 1]) for row in range(30)]
    jobs = client.submit_many([*requests, Evaluate("digits", digits.table(IMAGES[:20], LABELS[:20]))])
    client.wait(jobs, TIMEOUT_S)
    assert {job.state for job in jobs} == {State.SUCCEEDED}
    assert jobs[-1].evaluation().rows == 20
    client.wait([], TIMEOUT_S)


def test_outputs_go_to_files(client: Client, trained: Job, tmp_path: Path) -> None:
    path = digits.write(tmp_path / "rows.parquet", 20)
    job = client.infer("digits", path, output=f"{tmp_path}/out/*.jsonl")
    job.wait(TIMEOUT_S)
    assert [Path(part).exists() for part in job.parts()] == [True]
    for read in (job.results, lambda: list(job.stream())):
        with pytest.raises(InvalidInput, match=r"job\.parts\(\)"):
            read()


def test_a_chain_runs(client: Client, trained: Job) -> None:
    evaluated = trained.then.evaluate(digits.table(IMAGES[:50], LABELS[:50]))
    promoted = evaluated.then.promote("production", if_="accuracy >= 0")
    promoted.wait(TIMEOUT_S)
    assert [job.id for job in promoted.chain()][-2:] == [evaluated.id, promoted.id]
    assert client.models.get("digits@production").model == "digits"
    with pytest.raises(NotPromoted):
        client.models.promote("digits", "production", if_="accuracy > 1")
    assert [move.version for move in client.models.history("digits", "production")][-1] is not None
    moved = client.models.history("digits")[-1]
    assert (moved.alias, moved.job_id, moved.gate is not None) == ("production", promoted.id, True)
    with pytest.raises(InvalidInput, match="has never pointed at version 99"):
        client.models.rollback("digits", to=99, dry_run=True)


def test_a_training_goes_on_in_a_new_job(client: Client, trained: Job) -> None:
    more = trained.extend(1)
    more.wait(TIMEOUT_S)
    assert {metric.step for metric in more.metrics()} >= {3}


def test_searches_and_folds_have_trials(client: Client) -> None:
    table = digits.table(IMAGES[:200], LABELS[:200])
    search = client.tune("tuned", "linear", table, "label", {"learning_rate": [0.01, 0.1]}, trials=2, epochs=1)
    folds = client.cross_validate("folded", "linear", table, "label", folds=2, epochs=1)
    client.wait([search, folds], TIMEOUT_S)
    assert (len(search.trials()), len(folds.trials())) == (2, 2)


def test_a_job_is_cancelled_and_retried(client: Client, trained: Job, tmp_path: Path) -> None:
    job = client.infer("digits", digits.write(tmp_path / "rows.parquet", 200_000), batch_size=1)
    assert job.cancel()
    with pytest.raises(JobFailed, match="cancelled"):
        job.wait(TIMEOUT_S)
    assert not job.cancel()
    assert job.retry().id == job.id
    assert not job.state.final
    still_running = f"job {job.id} has not ended; it goes on running"
    with pytest.raises(WaitTimeout, match=still_running):
        job.wait(0.01)
    with pytest.raises(WaitTimeout, match=still_running):
        client.wait([job], 0.01)
    job.cancel()


def test_a_job_is_found_by_its_id(client: Client, trained: Job, tmp_path: Path) -> None:
    path = digits.write(tmp_path / "rows.parquet", 10)
    job = client.infer("digits", path)
    found = client.job(str(job.id))
    assert job.id in [each.id for each in client.jobs(kind="infer", limit=5)]
    found.wait(TIMEOUT_S)
    with pytest.raises(InvalidInput, match="can be retried"):
        job.retry()


def test_what_is_wrong_is_named(client: Client, trained: Job) -> None:
    with pytest.raises(UnknownModel):
        client.infer("nothing", IMAGES[:1])
    good, bad = Infer("digits", IMAGES[:1]), Infer("digits", IMAGES[:1], {"batch_size": -1})
    with pytest.raises(InvalidInput, match=r"requests\[1\]"):
        client.submit_many([good, bad])
    with pytest.raises(UnknownJob):
        client.job(uuid4())
    with pytest.raises(InvalidInput, match="state"):
        client.jobs(state="gone")


def test_a_version_is_exported_imported_and_deleted(client: Client, trained: Job, tmp_path: Path) -> None:
    assert not trained.is_version_deleted()
    if is_over_http(client):
        refused: list[Callable[[], object]] = [
            lambda: client.models.export("digits", tmp_path / "exported"),
            lambda: client.models.import_(tmp_path, "copied"),
            lambda: client.sweep_store(),
            lambda: client.clean(),
            lambda: client.disk_usage(),
            lambda: client.prune("30d"),
            lambda: client.ledger,
        ]
        for call in refused:
            with pytest.raises(InvalidInput, match="not over HTTP"):
                call()
        return
    folder = client.models.export("digits", tmp_path / "exported")
    imported = client.models.import_(folder, "copied", "latest")
    assert [version.version for version in client.models.versions("copied")] == [imported.version]
    client.models.remove_alias("copied", "latest")
    assert client.models.delete(f"copied:{imported.version}")[0].model == "copied"
    assert list(client.sweep_store(dry_run=True).blobs) == []
    assert client.clean(dry_run=True).store_bytes == 0
    assert client.disk_usage(top=1).models[0].model == "digits"
    assert client.prune("30d", dry_run=True).jobs == 0


def test_a_report_is_written(client: Client, trained: Job, tmp_path: Path) -> None:
    assert trained.report(tmp_path / "report.html").read_text().startswith("<!doctype html>")
    assert trained.plot(tmp_path / "curves.png").stat().st_size > 0
    assert list(trained.tensorboard(tmp_path / "events").iterdir())
