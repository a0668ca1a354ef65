"""Results over HTTP: each format against the Python client, and streams that break."""

from __future__ import annotations

import io
import json
import signal
from collections.abc import Callable, Iterator
from typing import Final

import httpx
import psycopg
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from longshore.producers import Client
from tests.integration import digits
from tests.integration.cluster import Cluster
from tests.integration.gateway.answers import Document, ended, field_of
from tests.integration.gateway_beside import RunningGateway, running_gateway

pytestmark = pytest.mark.usefixtures("digits_version")
IMAGES, _ = digits.digits()
NAMES: Final = ["a\u2028b", 'say "hé" \\ 漢字 🚢', "", "\u0000".replace("\0", "no"), "\t\r\n"]
ROWS: Final = [
    {"pixels": image.tolist(), "id": 2**63 - 1 - index, "name": NAMES[index % len(NAMES)]}
    for index, image in enumerate(IMAGES[:20])
]
#: Rows of a job that is larger than what sockets hold.
MANY: Final = 120_000


@pytest.fixture(scope="module")
def own(cluster: Cluster) -> Iterator[Client]:
    """The Python client of the producer that calls."""
    with cluster.client(producer="search-team") as client:
        yield client


@pytest.fixture(scope="module")
def owner(cluster: Cluster) -> Iterator[psycopg.Connection[tuple[object, ...]]]:
    """The owner of the tables."""
    with psycopg.connect(cluster.settings.database_url, autocommit=True) as conn:
        yield conn


def submitted(http: httpx.Client, **options: object) -> str:
    """A job over :data:`ROWS`."""
    answer = http.post("/v1/jobs", json={"kind": "infer", "model": "digits:1", "data": ROWS, "options": options})
    return str(answer.raise_for_status().json()["id"])


def without_worker(http: httpx.Client, owner: psycopg.Connection[tuple[object, ...]], rows: int) -> str:
    """A job that no worker takes, with results all the same: numbers, but for the last."""
    id_ = submitted(http, device="gpu")
    output = "jsonb_build_object('value', row, 'text', repeat('é', 50))"
    last = """CASE WHEN row = %(rows)s - 1 THEN '{"value": 0.5, "more": [1]}'::jsonb"""
    owner.execute(
        f"INSERT INTO results (job_id, row, output) SELECT %(job)s, row, {last} ELSE {output} END "
        "FROM generate_series(0, %(rows)s - 1) AS row",
        {"job": id_, "rows": rows},
    )
    return id_


def pages(http: httpx.Client, id: str, limit: int) -> list[Document]:
    """All rows, a page at a time."""
    rows: list[Document] = []
    after: dict[str, int] = {}
    while True:
        answer = http.get(f"/v1/jobs/{id}/results", params={"limit": limit, **after}).raise_for_status().json()
        rows += answer["data"]
        assert answer["has_more"] == (answer["next"] is not None)
        if not answer["has_more"]:
            return rows
        assert len(answer["data"]) == limit
        after = {"after": answer["next"]}


def lines(text: str) -> list[Document]:
    """The rows of JSON Lines."""
    return [json.loads(line) for line in text.split("\n")[:-1]]


def cut_stream(http: httpx.Client, path: str, form: str, disturb: Callable[[], None]) -> bytes:
    """What arrives of a stream that is disturbed at its first bytes, and that must not end as if it were whole."""
    content = b""
    with http.stream("GET", path, params={"format": form}) as answer:
        assert answer.headers["longshore-complete"] == "false"
        try:
            for part in answer.iter_raw():
                if not content:
                    disturb()
                content += part
        except httpx.RemoteProtocolError:
            return content
    raise AssertionError(f"the stream ended after {len(content):,} bytes")


def test_each_format_is_what_the_client_reads(http: httpx.Client, own: Client) -> None:
    id_ = submitted(http, keep=["id", "name"], top_k=2)
    ended(http, id_)
    results = own.job(id_).results()
    expected = results.to_pylist()
    assert [row["id"] for row in expected] == [row["id"] for row in ROWS]
    assert pages(http, id_, 7) == expected
    path = f"/v1/jobs/{id_}/results"
    answer = http.get(path, headers={"accept": "application/jsonl"})
    assert lines(answer.text) == expected
    assert answer.headers["longshore-complete"] == "true"
    assert answer.headers["content-type"] == "application/jsonl"
    arrow = http.get(path, headers={"accept": "text/html, application/vnd.apache.arrow.stream;q=0.5, */*;q=0.1"})
    assert pa.ipc.open_stream(arrow.content).read_all().equals(results.to_arrow())
    parquet = http.get(path, params={"format": "parquet"}, headers={"range": "bytes=0-9"})
    assert parquet.status_code == 200
    assert pq.read_table(io.BytesIO(parquet.content)).equals(results.to_arrow())
    rest = http.get(path, params={"format": "arrow", "after": 11})
    assert pa.ipc.open_stream(rest.content).read_all().column("row").to_pylist() == list(range(12, 20))
    assert http.get(path, params={"after": 2**63 - 1}).json()["data"] == []
    assert http.get(path, headers={"accept": "text/html"}).status_code == 406
    for parameters, field in (({"after": 2**63}, "after"), ({"limit": 10**9}, "limit"), ({"format": "xml"}, "format")):
        assert field_of(http.get(path, params=parameters)) == field


def test_no_rows(http: httpx.Client) -> None:
    data = [{"pixels": None}, {"pixels": [0.0] * 64}]
    body = {"kind": "infer", "model": "digits:1", "data": data, "options": {"device": "gpu"}}
    path = f"/v1/jobs/{http.post('/v1/jobs', json=body).json()['id']}/results"
    page = http.get(path).json()
    assert (page["data"], page["has_more"], page["state"], page["complete"]) == ([], False, "queued", False)
    assert http.get(path, params={"format": "jsonl"}).content == b""
    assert pa.ipc.open_stream(http.get(path, params={"format": "arrow"}).content).read_all().num_rows == 0
    assert pq.read_table(io.BytesIO(http.get(path, params={"format": "parquet"}).content)).num_rows == 0


def test_other_jobs_have_no_results(http: httpx.Client) -> None:
    data = [{"pixels": row["pixels"], "label": 1} for row in ROWS]
    id_ = http.post("/v1/jobs", json={"kind": "evaluate", "model": "digits:1", "data": data}).json()["id"]
    assert field_of(http.get(f"/v1/jobs/{id_}/results")) == "job"


def test_a_stream_goes_on_at_another_gateway(
    gateway: RunningGateway, http: httpx.Client, owner: psycopg.Connection[tuple[object, ...]]
) -> None:
    id_ = without_worker(http, owner, MANY)
    path = f"/v1/jobs/{id_}/results"
    with running_gateway(gateway.cluster) as first, first.http(gateway.token()) as dying:
        text = cut_stream(dying, path, "jsonl", lambda: first.process.send_signal(signal.SIGKILL)).decode()
    read = lines(text[: text.rfind("\n") + 1])
    assert 0 < len(read) < MANY
    rest = http.get(path, params={"format": "jsonl", "after": str(read[-1]["row"])})
    rows = read + lines(rest.text)
    assert [row["row"] for row in rows] == list(range(MANY))
    assert rows[-1] == {"row": MANY - 1, "value": 0.5, "more": [1]}
    table = pq.read_table(io.BytesIO(http.get(path, params={"format": "parquet"}).content))
    assert table.schema.field("value").type == pa.float64()
    assert table.column("row").to_pylist() == list(range(MANY))
    streamed = pa.ipc.open_stream(http.get(path, params={"format": "arrow"}).content).read_all()
    assert streamed.equals(table)


@pytest.mark.parametrize("form", ["jsonl", "parquet"])
def test_results_that_are_removed_meanwhile_cut_the_stream(
    http: httpx.Client, owner: psycopg.Connection[tuple[object, ...]], form: str
) -> None:
    id_ = without_worker(http, owner, MANY)
    path = f"/v1/jobs/{id_}/results"

    def prune() -> None:
        with owner.transaction():
            owner.execute("DELETE FROM results WHERE job_id = %s", [id_])
            owner.execute("UPDATE jobs SET pruned_at = now() WHERE id = %s", [id_])

    cut_stream(http, path, form, prune)
    for parameters in ({}, {"format": form}):
        assert http.get(path, params=parameters).status_code == 410
