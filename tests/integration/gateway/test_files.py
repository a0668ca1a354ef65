"""Uploaded files, by the official package for OpenAI's API and by plain requests."""

from __future__ import annotations

import io
import os
import socket
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit

import httpx
import openai
import pytest

from longshore.shared.store_gc import referenced_blobs
from tests.integration.cluster import Cluster
from tests.integration.gateway_beside import RunningGateway, running_gateway
from tests.waiting import wait_until

KIB = 1 << 10


@pytest.fixture(scope="module")
def gateway(cluster: Cluster) -> Iterator[RunningGateway]:
    """A gateway with small limits."""
    limits = {"MAX_UPLOAD_BYTES": 4096 * KIB, "MAX_BATCH_BYTES": 64 * KIB, "FILE_QUOTA_BYTES": 16384 * KIB}
    environment = {f"LONGSHORE_GATEWAY_{name}": str(value) for name, value in limits.items()}
    with running_gateway(cluster, environment) as gateway:
        yield gateway


@pytest.fixture(scope="module")
def api(gateway: RunningGateway) -> Iterator[openai.OpenAI]:
    with openai.OpenAI(base_url=f"{gateway.url}/v1", api_key=gateway.token(), max_retries=0) as api:
        yield api


def test_a_file_comes_back_as_it_was(api: openai.OpenAI) -> None:
    content = os.urandom(3000 * KIB)
    file = api.files.create(
        file=("../../etc/passwd", content),
        purpose="user_data",
        expires_after={"anchor": "created_at", "seconds": 3600},
    )
    assert (file.bytes, file.filename, file.purpose, file.status) == (len(content), "passwd", "user_data", "processed")
    assert file.expires_at == file.created_at + 3600
    assert api.files.retrieve(file.id) == file
    assert api.files.content(file.id).read() == content
    part = api.files.with_raw_response.content(file.id, extra_headers={"Range": "bytes=1000-1999"})
    assert (part.status_code, part.content) == (206, content[1000:2000])
    assert part.headers["content-range"] == f"bytes 1000-1999/{len(content)}"
    assert api.files.content(file.id, extra_headers={"Range": "bytes=-7"}).read() == content[-7:]
    with pytest.raises(openai.APIStatusError) as beyond:
        api.files.content(file.id, extra_headers={"Range": f"bytes={len(content)}-"})
    assert beyond.value.status_code == 416
    assert api.files.delete(file.id).deleted
    with pytest.raises(openai.NotFoundError):
        api.files.retrieve(file.id)


def test_a_request_that_is_sent_again_adds_one_file(api: openai.OpenAI) -> None:
    before = len(list(api.files.list()))
    ids = {
        api.files.create(file=("a", b"{}"), purpose="batch", extra_headers={"Idempotency-Key": "upload-1"}).id
        for _ in range(2)
    }
    assert len(ids) == 1
    assert len(list(api.files.list())) == before + 1


def test_files_are_listed_in_pages(gateway: RunningGateway) -> None:
    with openai.OpenAI(base_url=f"{gateway.url}/v1", api_key=gateway.token("lister")) as api:
        ids = [api.files.create(file=(f"{n}", b"{}"), purpose="batch").id for n in range(3)]
        ids.append(api.files.create(file=("data", b""), purpose="user_data").id)
        assert [file.id for file in api.files.list(limit=2)] == ids[::-1]
        assert [file.id for file in api.files.list(order="asc", limit=3)] == ids
        assert [file.id for file in api.files.list(purpose="user_data")] == ids[3:]
        assert api.files.retrieve(ids[0]).expires_at is not None
        assert api.files.retrieve(ids[3]).expires_at is None


def test_files_belong_to_a_producer(api: openai.OpenAI, gateway: RunningGateway) -> None:
    file = api.files.create(file=("mine", b"secret"), purpose="user_data")
    with openai.OpenAI(base_url=f"{gateway.url}/v1", api_key=gateway.token("another")) as other:
        for call in (other.files.retrieve, other.files.content, other.files.delete):
            with pytest.raises(openai.NotFoundError):
                call(file.id)
        assert file.id not in [each.id for each in other.files.list()]
    assert api.files.content(file.id).read() == b"secret"


def test_bad_uploads_are_refused_and_leave_nothing(gateway: RunningGateway, http: httpx.Client) -> None:
    def upload(content: bytes, **fields: str) -> httpx.Response:
        return http.post("/v1/files", files={"file": ("a", io.BytesIO(content))}, data=fields)

    refused = {
        "purpose": upload(b"x"),
        "batch_output": upload(b"x", purpose="batch_output"),
        "seconds": upload(
            b"x", purpose="batch", **{"expires_after[anchor]": "created_at", "expires_after[seconds]": "1"}
        ),
        "anchor": upload(b"x", purpose="batch", **{"expires_after[seconds]": "3600"}),
        "65,536": upload(b"x" * (65 * KIB), purpose="batch"),
        "4,194,304": upload(b"x" * (4097 * KIB), purpose="user_data"),
        "multipart/form-data": http.post("/v1/files", content=b"x"),
        "file": http.post("/v1/files", files={"other": ("a", b"x")}, data={"purpose": "batch"}),
        "ends early": http.post(
            "/v1/files", content=b"--b\r\n", headers={"Content-Type": "multipart/form-data; boundary=b"}
        ),
    }
    for reason, answer in refused.items():
        assert 400 <= answer.status_code < 500, reason
        assert reason in answer.json()["detail"]
    assert left_in_store(gateway.cluster) == []


def test_an_upload_that_is_cut_leaves_nothing(gateway: RunningGateway) -> None:
    address = urlsplit(gateway.url)
    head = (
        "POST /v1/files HTTP/1.1\r\nHost: a\r\nContent-Length: 4000000\r\n"
        f"Authorization: Bearer {gateway.token()}\r\nContent-Type: multipart/form-data; boundary=b\r\n\r\n"
        '--b\r\nContent-Disposition: form-data; name="file"; filename="a"\r\n\r\n'
    )
    with socket.create_connection((address.hostname, address.port)) as conn:
        conn.sendall(head.encode() + b"x" * (2048 * KIB))
        wait_until(lambda: left_in_store(gateway.cluster) != [], "the beginning of the upload")
    wait_until(lambda: left_in_store(gateway.cluster) == [], "its end")


def test_the_quota_of_a_producer(gateway: RunningGateway) -> None:
    with openai.OpenAI(base_url=f"{gateway.url}/v1", api_key=gateway.token("hoarder"), max_retries=0) as api:
        ids = [api.files.create(file=("a", b"x" * (4096 * KIB)), purpose="user_data").id for _ in range(4)]
        with pytest.raises(openai.APIStatusError) as refused:
            api.files.create(file=("a", b"x"), purpose="user_data")
        assert refused.value.status_code == 413
        api.files.delete(ids[0])
        api.files.create(file=("a", b"x"), purpose="user_data")


def test_the_store_keeps_files_until_they_expire(gateway: RunningGateway, api: openai.OpenAI) -> None:
    ledger = gateway.cluster.ledger
    file = api.files.create(
        file=("a", b"kept"), purpose="user_data", expires_after={"anchor": "created_at", "seconds": 3600}
    )
    record = ledger.files.find("search-team", file.id)
    assert record is not None
    with gateway.cluster.client() as client:
        assert record.digest in referenced_blobs(client._store(), ledger)
        assert client.disk_usage().store.uploads > 0
        with ledger.database.transaction() as conn:
            conn.execute("UPDATE files SET expires_at = now() WHERE id = %s", (file.id,))
        with pytest.raises(openai.NotFoundError):
            api.files.retrieve(file.id)
        assert ledger.files.remove_expired() <= 1  # or the relay was first
        assert record.digest not in referenced_blobs(client._store(), ledger)


def left_in_store(cluster: Cluster) -> list[Path]:
    """Files that are being written, or were left."""
    return list((cluster.folder / "store" / "tmp").glob("*"))
