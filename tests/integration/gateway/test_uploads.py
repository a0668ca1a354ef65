"""Uploads in parts, by the official package for OpenAI's API and by plain requests."""

from __future__ import annotations

import hashlib
import json
import os
import socket
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from pathlib import Path
from typing import Final
from urllib.parse import urlsplit
from uuid import uuid4

import httpx
import openai
import pytest

from longshore.shared.store_gc import referenced_blobs, sweep
from tests.integration.cluster import Cluster
from tests.integration.gateway_beside import RunningGateway, running_gateway
from tests.waiting import wait_until

KIB: Final = 1 << 10
MIME: Final = "application/octet-stream"


@pytest.fixture(scope="module")
def gateway(cluster: Cluster) -> Iterator[RunningGateway]:
    """A gateway with small limits."""
    limits = {"MAX_UPLOAD_BYTES": 8192 * KIB, "MAX_BATCH_BYTES": 64 * KIB, "FILE_QUOTA_BYTES": 20480 * KIB}
    environment = {f"LONGSHORE_GATEWAY_{name}": str(value) for name, value in limits.items()}
    with running_gateway(cluster, environment) as gateway:
        yield gateway


@pytest.fixture(scope="module")
def api(gateway: RunningGateway) -> Iterator[openai.OpenAI]:
    with openai.OpenAI(base_url=f"{gateway.url}/v1", api_key=gateway.token(), max_retries=0) as api:
        yield api


def begin(http: httpx.Client, size: int, **fields: object) -> str:
    """The id of a new upload."""
    body = {"bytes": size, "filename": "a", "mime_type": MIME, "purpose": "user_data", **fields}
    answer = http.post("/v1/uploads", json=body)
    assert answer.status_code == 200, answer.text
    return str(answer.json()["id"])


def send_part(http: httpx.Client, upload: str, content: bytes, **fields: str) -> httpx.Response:
    return http.post(f"/v1/uploads/{upload}/parts", files={"data": ("blob", content)}, data=fields)


def add_parts(http: httpx.Client, upload: str, *contents: bytes) -> list[str]:
    return [send_part(http, upload, content).raise_for_status().json()["id"] for content in contents]


def complete(http: httpx.Client, upload: str, parts: Sequence[str], **fields: str) -> httpx.Response:
    return http.post(f"/v1/uploads/{upload}/complete", json={"part_ids": list(parts), **fields})


def content_of(http: httpx.Client, answer: httpx.Response) -> bytes:
    """The bytes of the file of a completed upload."""
    assert (answer.status_code, answer.json()["status"]) == (200, "completed"), answer.text
    return http.get(f"/v1/files/{answer.json()['file']['id']}/content").content


def refusal(answer: httpx.Response) -> tuple[int, str, str]:
    error = answer.json()["error"]
    return answer.status_code, error["code"], error["param"]


def test_the_official_package_uploads_a_file_in_parts(api: openai.OpenAI, tmp_path: Path) -> None:
    content = os.urandom(3000 * KIB)
    (tmp_path / "rows.bin").write_bytes(content)
    upload = api.uploads.upload_file_chunked(
        file=tmp_path / "rows.bin",
        mime_type=MIME,
        purpose="user_data",
        part_size=1024 * KIB,
        md5=hashlib.md5(content).hexdigest(),
    )
    assert (upload.object, upload.status, upload.bytes, upload.filename) == (
        *("upload", "completed", len(content)),
        "rows.bin",
    )
    assert upload.expires_at == upload.created_at + 3600
    assert upload.file is not None
    assert upload.file == api.files.retrieve(upload.file.id)
    assert (upload.file.bytes, upload.file.expires_at) == (len(content), None)
    assert api.files.content(upload.file.id).read() == content
    empty = api.uploads.upload_file_chunked(file=b"", filename="e", bytes=0, mime_type=MIME, purpose="batch")
    assert empty.file is not None
    assert empty.file.expires_at == empty.file.created_at + 30 * 86400
    # Their objects, with the members of their documentation.
    pending = api.uploads.create(
        bytes=3,
        filename="../a\0b",
        mime_type=MIME,
        purpose="user_data",
        expires_after={"anchor": "created_at", "seconds": 3600},
    )
    assert (pending.status, pending.filename, pending.file) == ("pending", "ab", None)
    parts = [api.uploads.parts.create(pending.id, data=data) for data in (b"c", b"ab")]
    assert {(part.object, part.upload_id) for part in parts} == {("upload.part", pending.id)}
    # The order is that of the call.
    done = api.uploads.complete(pending.id, part_ids=[parts[1].id, parts[0].id])
    assert done.file is not None
    assert api.files.content(done.file.id).read() == b"abc"
    assert done.file.expires_at == done.file.created_at + 3600
    with pytest.raises(openai.BadRequestError, match="is completed"):
        api.uploads.cancel(done.id)
    other = api.uploads.create(bytes=3, filename="a", mime_type=MIME, purpose="user_data")
    assert api.uploads.cancel(other.id).status == "cancelled"
    assert api.uploads.cancel(other.id).status == "cancelled"
    with pytest.raises(openai.BadRequestError, match="is cancelled"):
        api.uploads.parts.create(other.id, data=b"abc")
    with pytest.raises(openai.NotFoundError):
        api.uploads.parts.create(f"upload_{'0' * 32}", data=b"abc")


def test_an_upload_goes_on_after_a_cut_in_a_part(gateway: RunningGateway, http: httpx.Client) -> None:
    content = os.urandom(3072 * KIB)
    thirds = [content[start : start + 1024 * KIB] for start in range(0, len(content), 1024 * KIB)]
    upload = begin(http, len(content))
    [first] = add_parts(http, upload, thirds[0])
    address = urlsplit(gateway.url)
    head = (
        f"POST /v1/uploads/{upload}/parts HTTP/1.1\r\nHost: a\r\nContent-Length: 1100000\r\n"
        f"Authorization: {http.headers['Authorization']}\r\nContent-Type: multipart/form-data; boundary=b\r\n\r\n"
        '--b\r\nContent-Disposition: form-data; name="data"; filename="a"\r\n\r\n'
    )
    with socket.create_connection((address.hostname, address.port)) as conn:
        conn.sendall(head.encode() + thirds[1])
        wait_until(lambda: left_in_store(gateway.cluster) != [], "the beginning of the part")
    wait_until(lambda: left_in_store(gateway.cluster) == [], "its end")
    seen = http.get(f"/v1/uploads/{upload}").json()
    assert [(part["id"], part["bytes"], part["sha256"]) for part in seen["parts"]] == [
        (first, 1024 * KIB, hashlib.sha256(thirds[0]).hexdigest())
    ]
    rest = add_parts(http, upload, thirds[1], thirds[2])
    whole = hashlib.sha256(content).hexdigest()
    assert content_of(http, complete(http, upload, [first, *rest], sha256=whole)) == content
    assert http.get(f"/v1/uploads/{upload}").json()["parts"] == []


def test_a_killed_gateway_leaves_an_upload_that_another_completes(cluster: Cluster, http: httpx.Client) -> None:
    key, authorization = uuid4().hex, http.headers["Authorization"]
    with running_gateway(cluster) as first, first.http("") as caller:
        caller.headers["Authorization"] = authorization
        upload = begin(caller, 6)
        [part] = add_parts(caller, upload, b"abc")
        first.process.kill()
        first.process.wait()
    assert [each["id"] for each in http.get(f"/v1/uploads/{upload}").json()["parts"]] == [part]
    parts = [part, *add_parts(http, upload, b"def")]
    body = json.dumps({"part_ids": parts})
    blob, aside = blob_of(cluster, b"def"), cluster.folder / "aside"
    # The second part ends when somebody writes it, so the gateway waits in the middle of the file.
    blob.rename(aside)
    os.mkfifo(blob)
    with (
        running_gateway(cluster) as second,
        socket.create_connection(("127.0.0.1", urlsplit(second.url).port or 0)) as conn,
    ):
        conn.sendall(
            f"POST /v1/uploads/{upload}/complete HTTP/1.1\r\nHost: a\r\nContent-Length: {len(body)}\r\n"
            f"Idempotency-Key: {key}\r\nContent-Type: application/json\r\n"
            f"Authorization: {authorization}\r\n\r\n{body}".encode()
        )
        wait_until(lambda: left_in_store(cluster) != [], "the beginning of the file")
        second.process.kill()
        second.process.wait()
    blob.unlink()
    aside.rename(blob)
    [left] = left_in_store(cluster)
    left.unlink()
    assert http.get(f"/v1/uploads/{upload}").json()["status"] == "pending"
    answer = complete(http, upload, parts)
    assert content_of(http, answer) == b"abcdef"
    # The killed request held its key for half a minute.
    with cluster.ledger.database.transaction() as conn:
        changed = conn.execute(
            "UPDATE kept_answers SET held_until = now() - interval '1 s', created_at = now() - interval '1 s' "
            "WHERE key = %s",
            [key],
        ).rowcount
    assert changed == 1
    headers = {"Idempotency-Key": key, "Content-Type": "application/json"}
    again = http.post(f"/v1/uploads/{upload}/complete", content=body, headers=headers)
    assert again.json() == answer.json() == complete(http, upload, parts).json()
    files = [each["id"] for each in http.get("/v1/files").json()["data"]]
    assert files.count(answer.json()["file"]["id"]) == 1
    assert refusal(complete(http, upload, parts[::-1]))[:2] == (400, "upload_ended")


def test_what_does_not_fit_is_refused_and_can_be_mended(gateway: RunningGateway, http: httpx.Client) -> None:
    upload, other = begin(http, 6), begin(http, 6)
    one, two, three = add_parts(http, upload, b"abc", b"def", b"d")
    [foreign] = add_parts(http, other, b"def")
    assert refusal(complete(http, upload, [one, foreign])) == (400, "invalid_value", "part_ids[1]")
    assert refusal(complete(http, upload, [one, one])) == (400, "invalid_value", "part_ids[1]")
    assert refusal(complete(http, upload, [one, three])) == (400, "invalid_value", "part_ids")
    assert "4 bytes" in complete(http, upload, [one, three]).text
    assert refusal(complete(http, upload, [two, one], md5=hashlib.md5(b"abcdef").hexdigest())) == (
        *(400, "digest_mismatch"),
        "md5",
    )
    assert refusal(complete(http, upload, [one, two], sha256="0" * 64)) == (400, "digest_mismatch", "sha256")
    assert refusal(complete(http, upload, [one, two], md5="0")) == (400, "invalid_value", "md5")
    assert refusal(send_part(http, upload, b"abc", sha256="0" * 64)) == (400, "digest_mismatch", "sha256")
    assert refusal(send_part(http, upload, b"abc", sha256="0")) == (400, "invalid_value", "sha256")
    assert refusal(send_part(http, upload, b"abc", part="1")) == (400, "unknown_parameter", "part")
    assert refusal(send_part(http, upload, b"")) == (400, "invalid_value", "data")
    assert refusal(send_part(http, upload, b"abcdefg"))[:2] == (413, "file_too_large")
    assert refusal(http.post(f"/v1/uploads/{upload}/parts", files={"file": ("a", b"a")})) == (
        *(400, "missing_required_parameter"),
        "data",
    )
    # Of another producer, it is not there, and neither is a part of it.
    with gateway.http(producer="another") as others:
        for answer in (
            others.get(f"/v1/uploads/{upload}"),
            send_part(others, upload, b"abc"),
            complete(others, upload, [one, two]),
            others.post(f"/v1/uploads/{upload}/cancel"),
        ):
            assert refusal(answer) == (404, "unknown_upload", "id")
        own = begin(others, 6)
        assert refusal(complete(others, own, [one, two])) == (400, "invalid_value", "part_ids[0]")
    sha256 = hashlib.sha256(b"ghi").hexdigest().upper()
    last = send_part(http, upload, b"ghi", sha256=sha256).json()["id"]
    assert content_of(http, complete(http, upload, [one, last])) == b"abcghi"
    wanted = {"filename": "a", "mime_type": MIME, "purpose": "user_data"}
    for body, param in (
        ({**wanted, "bytes": 8192 * KIB + 1}, None),
        ({**wanted, "bytes": 65 * KIB, "purpose": "batch"}, None),
        ({**wanted, "bytes": 1, "purpose": "batch_output"}, "purpose"),
        ({**wanted, "bytes": -1}, "bytes"),
        ({**wanted, "bytes": "1"}, "bytes"),
        (wanted, "bytes"),
        ({**wanted, "bytes": 1, "extra": 1}, "extra"),
    ):
        answer = http.post("/v1/uploads", json=body)
        assert (answer.status_code, answer.json()["error"]["param"]) == (413 if param is None else 400, param)
    assert left_in_store(gateway.cluster) == []


def test_requests_that_are_sent_again_have_one_effect(http: httpx.Client) -> None:
    keys = [{"Idempotency-Key": uuid4().hex} for _ in range(2)]
    body = {"bytes": 3, "filename": "a", "mime_type": MIME, "purpose": "user_data"}
    [upload] = {http.post("/v1/uploads", json=body, headers=keys[0]).json()["id"] for _ in range(2)}
    url, files = f"/v1/uploads/{upload}/parts", {"data": ("a", b"abc")}
    [part] = {http.post(url, files=files, headers=keys[1]).json()["id"] for _ in range(2)}
    assert [each["id"] for each in http.get(f"/v1/uploads/{upload}").json()["parts"]] == [part]
    assert refusal(http.post(url, files={"data": ("a", b"abd")}, headers=keys[1]))[:2] == (400, "key_reused")
    with ThreadPoolExecutor(6) as threads:
        answers = list(threads.map(lambda _: complete(http, upload, [part]), range(6)))
    assert len({content_of(http, answer) + answer.content for answer in answers}) == 1


def test_parts_count_for_the_quota(gateway: RunningGateway) -> None:
    with gateway.http(producer="hoarder") as http:
        uploads = [begin(http, 8192 * KIB) for _ in range(3)]
        for upload in uploads[:2]:
            add_parts(http, upload, b"x" * (8192 * KIB))
        assert send_part(http, uploads[2], b"x" * (4097 * KIB)).status_code == 413
        add_parts(http, uploads[2], b"x" * (4096 * KIB))
        for answer in (
            send_part(http, uploads[2], b"x"),
            http.post("/v1/files", files={"file": ("a", b"x")}, data={"purpose": "user_data"}),
            http.post("/v1/uploads", json={"bytes": 1, "filename": "a", "mime_type": "", "purpose": "user_data"}),
        ):
            assert refusal(answer)[:2] == (413, "quota_exceeded")
        # A completed upload takes no more than its parts, and a cancelled one nothing.
        assert complete(http, uploads[0], [http.get(f"/v1/uploads/{uploads[0]}").json()["parts"][0]["id"]]).is_success
        assert refusal(send_part(http, uploads[2], b"x"))[:2] == (413, "quota_exceeded")
        assert http.post(f"/v1/uploads/{uploads[1]}/cancel").is_success
        add_parts(http, uploads[2], b"x")


def test_the_store_keeps_the_parts_of_live_uploads(gateway: RunningGateway, http: httpx.Client) -> None:
    ledger, names = gateway.cluster.ledger, ("live", "expired", "cancelled", "completed")
    uploads = {name: begin(http, len(name)) for name in names}
    parts = {name: add_parts(http, upload, name.encode()) for name, upload in uploads.items()}
    digests = {name: f"sha256:{hashlib.sha256(name.encode()).hexdigest()}" for name in names}
    with gateway.cluster.client() as client:
        store = client._store()
        assert set(digests.values()) <= referenced_blobs(store, ledger)
        assert client.disk_usage().store.uploads > 0
        assert complete(http, uploads["completed"], parts["completed"]).is_success
        file = complete(http, uploads["completed"], parts["completed"]).json()["file"]["id"]
        assert http.delete(f"/v1/files/{file}").is_success
        assert http.get(f"/v1/uploads/{uploads['completed']}").json()["file"] is None
        assert http.post(f"/v1/uploads/{uploads['cancelled']}/cancel").is_success
        with ledger.database.transaction() as conn:
            for table, column in (("uploads", "id"), ("upload_parts", "upload_id")):
                conn.execute(f"UPDATE {table} SET expires_at = now() WHERE {column} = %s", (uploads["expired"],))
        assert http.get(f"/v1/uploads/{uploads['expired']}").json()["status"] == "expired"
        for answer in (
            send_part(http, uploads["expired"], b"x"),
            complete(http, uploads["expired"], parts["expired"]),
            http.post(f"/v1/uploads/{uploads['expired']}/cancel"),
        ):
            assert refusal(answer)[:2] == (400, "upload_ended")
        assert ledger.uploads.remove_expired() <= 1  # or the relay was first
        assert referenced_blobs(store, ledger) & set(digests.values()) == {digests["live"]}
        paths = {name: blob_of(gateway.cluster, name.encode()) for name in names}
        for path in paths.values():
            os.utime(path, (0, 0))
        sweep(store, ledger, grace=timedelta(hours=2), only=set(digests.values()))
        assert {name for name, path in paths.items() if path.exists()} == {"live"}
        assert content_of(http, complete(http, uploads["live"], parts["live"])) == b"live"
        # Its end can be seen for a while.
        with ledger.database.transaction() as conn:
            conn.execute("UPDATE uploads SET expires_at = now() - interval '1 day' WHERE id = %s", (uploads["live"],))
        ledger.uploads.remove_expired()
        assert http.get(f"/v1/uploads/{uploads['live']}").status_code == 404


def blob_of(cluster: Cluster, content: bytes) -> Path:
    """Where the store has it."""
    digest = hashlib.sha256(content).hexdigest()
    return cluster.folder / "store" / "blobs" / "sha256" / digest[:2] / digest


def left_in_store(cluster: Cluster) -> list[Path]:
    """Files that are being written, or were left."""
    return list((cluster.folder / "store" / "tmp").glob("*"))
