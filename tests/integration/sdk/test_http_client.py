"""Client over HTTP: what it sends, and what it does when the gateway, the connection or the token is gone."""

from __future__ import annotations

import asyncio
import base64
import os
import pickle
import threading
from collections.abc import AsyncIterator, Iterator
from contextlib import ExitStack
from datetime import datetime
from pathlib import Path
from urllib.parse import urlsplit

import httpx
import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from longshore.broker.embedded.services.ports import any_free_port
from longshore.producers import AsyncClient, Client, Infer, Progress, ResultRow
from longshore.producers.http.client import HttpClient
from longshore.producers.http.data import BODY_BYTES
from longshore.producers.http.uploads import PART_BYTES
from longshore.shared.errors import InvalidInput, JobFailed, ServiceUnavailable
from longshore.shared.ledger.gateway.tokens import Scope
from longshore.shared.ledger.records import RowTimes
from longshore.shared.vocabulary import State
from tests.integration import digits
from tests.integration.certificates import write_certificates
from tests.integration.cluster import Cluster
from tests.integration.gateway_beside import RunningGateway, running_gateway
from tests.integration.support import claim
from tests.tcp_proxy import TcpProxy
from tests.waiting import TIMEOUT_S, wait_until

pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("digits_version")]

IMAGES, LABELS = digits.digits()


@pytest.fixture(scope="module")
def gateway(cluster: Cluster) -> Iterator[RunningGateway]:
    with running_gateway(cluster) as gateway:
        yield gateway


@pytest.fixture(scope="module")
def proxy(gateway: RunningGateway) -> Iterator[TcpProxy]:
    with TcpProxy("127.0.0.1", urlsplit(gateway.url).port or 0) as proxy:
        yield proxy


@pytest.fixture(scope="module")
def remote(gateway: RunningGateway, proxy: TcpProxy) -> Iterator[HttpClient]:
    with Client(f"http://127.0.0.1:{proxy.port}/", token=gateway.token()) as remote:
        assert isinstance(remote, HttpClient)
        yield remote


def test_rows_of_every_form_arrive_as_they_are(client: Client, remote: Client) -> None:
    table = digits.table(IMAGES[:20]).append_column("id", pa.array(range(2**60, 2**60 + 20)))
    table = table.append_column("at", pa.array([datetime(2030, 1, 1, 12, row) for row in range(20)]))
    frame = pd.DataFrame({"id": np.arange(20, dtype=np.uint64)} | digits.table(IMAGES[:20]).to_pydict())
    for request in (
        Infer("digits", table, keep=["id", "at"], top_k=2),
        Infer("digits", IMAGES[:20].astype(np.float32)),
        Infer("digits", frame, keep=("id",)),
        Infer("digits", digits.table(IMAGES[:20]).to_pylist()),
    ):
        here, there = (each.submit_many([request])[0].wait(TIMEOUT_S).results() for each in (client, remote))
        assert there.to_arrow().schema == here.to_arrow().schema
        assert there == here
        assert there.key_columns == here.key_columns


def test_a_job_that_runs_shows_the_same_progress_here_and_there(
    cluster: Cluster, client: Client, remote: Client
) -> None:
    training = remote.train("steady", "linear", digits.table(IMAGES, LABELS), "label", epochs=10, device="gpu")
    inference = remote.infer("digits", IMAGES[:100], device="gpu", rows_per_shard=50)
    attempts = cluster.ledger.attempts
    claims = [claim(cluster.ledger, job.id) for job in (training, inference)]  # no worker of this cluster has a GPU
    for epoch in range(1, 4):
        attempts.record_metrics(claims[0], epoch, {"train_loss": 1.0})
    attempts.renew(claims[0], lease=600.0, rows=3, changed=True)
    with cluster.ledger.database.connection() as conn:
        conn.execute("UPDATE jobs SET started_at = now() - interval '1 hour' WHERE id = %s", [inference.id])
        conn.execute(
            "UPDATE metrics SET recorded_at = now() - make_interval(secs => 1000 * (3 - step)) WHERE job_id = %s",
            [training.id],
        )
    times = RowTimes(first_rows=5, first_age_s=1000.0)
    attempts.renew(claims[1], lease=600.0, rows=20, changed=True, times=times)
    for job, done, total, rate in ((training, 3, 10, 0.001), (inference, 20, 100, 0.015)):
        here = client.job(job.id)
        before, there, after = here.progress, job.progress, here.progress
        assert (there.state, there.done, there.total, there.failed) == (State.RUNNING, done, total, 0)
        for name in ("seconds", "rate", "remaining"):
            low, high = sorted((getattr(before, name), getattr(after, name)))
            assert low <= getattr(there, name) <= high, name
        assert there.rate == pytest.approx(rate)
        assert job.cancel()


def test_rows_that_fit_no_body_are_uploaded_and_a_stream_that_is_cut_goes_on(
    gateway: RunningGateway, client: Client, remote: Client, proxy: TcpProxy
) -> None:
    many = np.tile(IMAGES, (40, 1))[: BODY_BYTES // (8 * IMAGES.shape[1]) + 100]
    job = remote.infer("digits", many).wait(TIMEOUT_S)
    stream = job.stream()
    rows = [next(stream)]
    assert proxy.cut() > 0
    rows += stream
    assert [row.row for row in rows] == list(range(len(many)))
    assert [row.output for row in rows] == [row.output for row in client.job(job.id).stream()]

    async def read() -> list[ResultRow]:
        async with AsyncClient(f"http://127.0.0.1:{proxy.port}", token=gateway.token()) as remote:
            stream = (await remote.job(job.id)).stream()
            rows = [await anext(stream)]
            assert proxy.cut() > 0
            return rows + [row async for row in stream]

    assert asyncio.run(read()) == rows


def test_a_gateway_that_is_killed_in_a_wait_is_followed_by_another(cluster: Cluster, client: Client) -> None:
    port = any_free_port()
    stack = ExitStack()
    begun = threading.Event()
    with running_gateway(cluster, port=port) as first:
        token = first.token()
        remote = stack.enter_context(Client(first.url, token=token))
        job = remote.infer("digits", IMAGES[:1], device="gpu")  # no worker takes it
        failed: list[JobFailed] = []

        def wait() -> None:
            with pytest.raises(JobFailed) as raised:
                job.wait(TIMEOUT_S)
            failed.append(raised.value)

        async def wait_in_coroutines() -> None:
            async with AsyncClient(first.url, token=token) as remote:
                same = await remote.job(job.id)
                waits = same.wait(TIMEOUT_S), _last(same.follow()), remote.wait([same], TIMEOUT_S)
                begun.set()
                error, last, _ = await asyncio.gather(*waits, return_exceptions=True)
            assert isinstance(error, JobFailed)
            assert isinstance(last, Progress)
            assert last.state is State.CANCELLED
            failed.append(error)

        waiting = [threading.Thread(target=each) for each in (wait, lambda: asyncio.run(wait_in_coroutines()))]
        for thread in waiting:
            thread.start()
        assert begun.wait(TIMEOUT_S)
        first.process.kill()
        first.process.wait()
    with running_gateway(cluster, port=port):
        client.job(job.id).cancel()
        for thread in waiting:
            thread.join(TIMEOUT_S)
        assert ["cancelled" in str(error) for error in failed] == [True, True]
    stack.close()


async def _last(progress: AsyncIterator[Progress]) -> Progress:
    return [each async for each in progress][-1]


def test_an_answer_that_is_lost_makes_no_second_job(remote: Client, proxy: TcpProxy) -> None:
    lost: list[bytes] = []

    def is_first(sent: bytes) -> bool:
        if not lost and sent.startswith(b"POST /v1/jobs "):
            lost.append(sent)
            return True
        return False

    before = len(remote.jobs(limit=5000))
    with proxy.losing_answers(is_first):
        job = remote.infer("digits", IMAGES[:1])
    assert lost
    assert job.wait(TIMEOUT_S).state is State.SUCCEEDED
    assert len(remote.jobs(limit=5000)) == before + 1


def test_what_is_wrong_with_the_address_or_the_token_is_named(
    gateway: RunningGateway, cluster: Cluster, tmp_path: Path
) -> None:
    token = gateway.token()
    with Client(gateway.url, token=token) as remote:
        remote.jobs()
        cluster.ledger.tokens.revoke(token.split("_")[1])
        wait_until(lambda: _is_refused(remote), "the end of the token")
        assert token not in repr(remote) + repr(vars(remote)) + str(vars(remote._connection))  # type: ignore[attr-defined]
        with pytest.raises(TypeError, match="cannot be pickled"):
            pickle.dumps(remote)
        asyncio.run(_check_token(gateway.url, token))
    with Client(gateway.url, token=gateway.token(scopes=[Scope.JOBS_READ])) as reader:
        with pytest.raises(InvalidInput, match="jobs:write") as lacking:
            reader.infer("digits", IMAGES[:1])
        assert lacking.value.field == "token"
    address = f"http://127.0.0.1:{any_free_port()}"
    with Client(address, token=token) as remote, pytest.raises(ServiceUnavailable, match="cannot be reached"):
        remote.jobs()
    with Client(f"{gateway.url}/elsewhere", token=token) as remote, pytest.raises(InvalidInput, match="no gateway"):
        remote.jobs()
    for url, field in (("localhost:8080", "url"), ("https://me:hidden@host", "url")):
        with pytest.raises(InvalidInput) as wrong:
            Client(url, token=token)
        assert wrong.value.field == field
        assert "hidden" not in str(wrong.value)
    for make in (Client, AsyncClient):
        with pytest.raises(InvalidInput, match="LONGSHORE_TOKEN"):
            make(gateway.url)
        with pytest.raises(InvalidInput, match="url"):
            make(token=token)
        with pytest.raises(InvalidInput, match="home"):
            make(gateway.url, token=token, home=tmp_path)


async def _check_token(url: str, token: str) -> None:
    async with AsyncClient(url, token=token) as remote:
        for call in (remote.jobs(), remote.job("@last"), remote.infer("digits", IMAGES[:1])):
            with pytest.raises(InvalidInput, match="gateway refuses it") as refused:
                await call
            assert (refused.value.field, token in str(refused.value)) == ("token", False)
        gateway = remote._gateway  # type: ignore[attr-defined]
        assert token not in "".join(repr(each) + repr(vars(each)) for each in (remote, gateway, gateway._pools))


def _is_refused(remote: Client) -> bool:
    try:
        remote.jobs()
    except InvalidInput as error:
        return error.field == "token"
    return False


def test_the_environment_names_the_gateway(
    gateway: RunningGateway, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "token").write_text(f"{gateway.token()}\n")
    monkeypatch.setenv("LONGSHORE_URL", gateway.url)
    monkeypatch.setenv("LONGSHORE_TOKEN_FILE", str(tmp_path / "token"))
    monkeypatch.delenv("LONGSHORE_DATABASE_URL", raising=False)
    with Client() as remote:
        assert isinstance(remote, HttpClient)
        assert remote.models.get("digits").version == 1
        assert repr(AsyncClient()) == f"<AsyncClient {gateway.url}>"
    for name, address in gateway.cluster.settings.environment().items():
        monkeypatch.setenv(name, address)
    with Client() as direct:
        assert not isinstance(direct, HttpClient)


def test_certificates_are_checked(cluster: Cluster, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_certificates(tmp_path)
    files = {"CERTIFICATE": "server.pem", "KEY": "server.key"}
    environment = {f"LONGSHORE_GATEWAY_TLS_{name}": str(tmp_path / file) for name, file in files.items()}
    with running_gateway(cluster, environment, scheme="https") as gateway:
        with (
            Client(gateway.url, token=gateway.token()) as remote,
            pytest.raises(ServiceUnavailable, match="certificate"),
        ):
            remote.jobs()
        monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "ca.pem"))
        with Client(gateway.url, token=gateway.token()) as remote:
            assert remote.models.get("digits").version == 1

        async def infer() -> State:
            async with AsyncClient(gateway.url, token=gateway.token()) as remote:
                await remote.warm_up("digits")
                return await (await (await remote.infer("digits", IMAGES[:1]))).state()

        assert asyncio.run(infer()) is State.SUCCEEDED


def test_uploaded_files_are_the_data_of_jobs(gateway: RunningGateway, remote: Client, tmp_path: Path) -> None:
    table = digits.table(IMAGES[:30], LABELS[:30])
    pq.write_table(table, tmp_path / "rows.parquet")
    (tmp_path / "rows.jsonl").write_text(pd.DataFrame(table.to_pydict()).to_json(orient="records", lines=True))
    (tmp_path / "rows.csv").write_text("a,b\n1,2\n")
    (tmp_path / "bad.parquet").write_text("PAR1, not")
    with gateway.http() as http:
        ids = {path.name: _uploaded(http, path) for path in tmp_path.iterdir()}
        expected = remote.infer("digits", table).wait(TIMEOUT_S).results()
        for name in ("rows.parquet", "rows.jsonl"):
            job = remote.infer("digits", ids[name])
            assert http.delete(f"/v1/files/{ids[name]}").is_success
            assert job.wait(TIMEOUT_S).results() == expected
            with pytest.raises(InvalidInput, match="upload it again"):
                remote.submit_many([Infer("digits", table), Infer("digits", ids[name])])
        for name, reason in (("rows.csv", "JSON Lines"), ("bad.parquet", r"cannot read bad\.parquet")):
            with pytest.raises(InvalidInput, match=reason):
                remote.infer("digits", ids[name])
        with gateway.http(producer="other") as other:
            body = {"kind": "infer", "model": "digits", "data": ids["bad.parquet"]}
            assert "there is no file" in other.post("/v1/jobs", json=body).json()["detail"]
        sink = pa.BufferOutputStream()
        with pa.ipc.new_stream(sink, table.schema, options=pa.ipc.IpcWriteOptions(compression="zstd")) as writer:
            writer.write_table(table)
        body["data"] = {"arrow": base64.b64encode(sink.getvalue()).decode()}  # type: ignore[assignment]
        refused = http.post("/v1/jobs", json=body)
        assert refused.status_code == 422
        assert "compressed" in refused.text


def test_a_large_file_goes_on_after_cuts(
    gateway: RunningGateway, remote: HttpClient, proxy: TcpProxy, tmp_path: Path
) -> None:
    content = os.urandom(2 * PART_BYTES + 1000)
    (tmp_path / "large.parquet").write_bytes(content)
    sent, cuts, completions, threads = 0, 0, 0, []

    def is_lost(data: bytes) -> bool:
        nonlocal sent, cuts, completions
        sent += len(data)
        if not cuts and sent > PART_BYTES * 3 // 2:  # in the middle of the second part
            cuts += 1
            threads.append(threading.Thread(target=proxy.cut))
            threads[0].start()
        completions += data.startswith(b"POST /v1/uploads/") and b"/complete " in data[:100]
        return completions == 1 and b"/complete " in data[:100]

    with gateway.http() as http, proxy.losing_answers(is_lost):
        before = len(http.get("/v1/files").json()["data"])
        file = remote.upload_file(tmp_path / "large.parquet", expires_after="1d")
        threads[0].join()
        assert (cuts, completions) == (1, 2)
        # What was there before the cut is not sent again.
        assert sent < 3 * PART_BYTES
        document = http.get(f"/v1/files/{file}").json()
        assert (document["filename"], document["bytes"]) == ("large.parquet", len(content))
        assert document["expires_at"] == document["created_at"] + 86400
        assert http.get(f"/v1/files/{file}/content").content == content
        assert len(http.get("/v1/files").json()["data"]) == before + 1
        # A small one is sent at once, and so are few rows.
        (tmp_path / "small.jsonl").write_bytes(b"{}")
        small = http.get(f"/v1/files/{remote.upload_file(str(tmp_path / 'small.jsonl'))}").json()
        assert (small["filename"], small["bytes"], small["expires_at"]) == ("small.jsonl", 2, None)
        rows = remote._upload(content[: PART_BYTES + 1])
        assert http.get(f"/v1/files/{rows}/content").content == content[: PART_BYTES + 1]
    with pytest.raises(InvalidInput, match="cannot read"):
        remote.upload_file(tmp_path / "absent.parquet")


def test_other_splits_travel_with_a_training(remote: Client) -> None:
    train, held_out = digits.table(IMAGES[:200], LABELS[:200]), digits.table(IMAGES[200:260], LABELS[200:260])
    job = remote.train("split", "linear", train, "label", epochs=1, validation=held_out).wait(TIMEOUT_S)
    assert any(metric.name.startswith("val") for metric in job.metrics())


def _uploaded(http: httpx.Client, path: Path) -> str:
    files = {"file": (path.name, path.read_bytes())}
    return str(http.post("/v1/files", data={"purpose": "user_data"}, files=files).raise_for_status().json()["id"])
