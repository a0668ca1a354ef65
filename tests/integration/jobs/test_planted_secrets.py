"""Secrets that a user has given somewhere appear nowhere else: tables, messages, logs, arguments and errors."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from contextlib import suppress
from pathlib import Path
from urllib.parse import urlsplit

import psutil
import psycopg
import pytest
import redis
from psycopg import sql

from longshore.producers import Client
from longshore.shared.errors import InvalidInput
from tests.integration import digits
from tests.integration.cluster import Cluster
from tests.integration.flower_beside import Flower, running_flower
from tests.waiting import TIMEOUT_S

S3_SECRET = "planted-s3-secret-6e1f"
URL_SECRET = "planted-url-secret-90b2"


@pytest.fixture(scope="module")
def worker_environment() -> Mapping[str, str]:
    return {"LONGSHORE_LEASE": "2", "AWS_SECRET_ACCESS_KEY": S3_SECRET, "FSSPEC_SFTP_PASSWORD": S3_SECRET}


def secrets_of(cluster: Cluster) -> list[bytes]:
    """The passwords of the services, and what was planted."""
    settings = cluster.settings
    passwords = [urlsplit(url).password for url in (settings.redis_url, settings.database_url)]
    return [text.encode() for text in (S3_SECRET, URL_SECRET, *passwords) if text]


def everything(cluster: Cluster) -> Mapping[str, bytes]:
    """What others than the processes of the cluster can see, by where it was found."""
    found: dict[str, bytes] = {}
    with psycopg.connect(cluster.settings.database_url) as conn:
        tables = conn.execute("SELECT tablename FROM pg_tables WHERE schemaname = current_schema()").fetchall()
        for (table,) in tables:
            rows = conn.execute(sql.SQL("SELECT t::text FROM {} AS t").format(sql.Identifier(table))).fetchall()
            found[f"table {table}"] = "\n".join(str(row) for (row,) in rows).encode()
    with redis.Redis.from_url(cluster.settings.redis_url) as connection:
        for key in connection.scan_iter():
            found[f"key {key.decode()}"] = key + (connection.dump(key) or b"")
    for name in ("relay", "workers"):
        found[f"log of {name}"] = cluster.log(name).encode()
    for process in psutil.process_iter():
        try:
            found[f"arguments of {process.pid}"] = "\0".join(process.cmdline()).encode()
        except psutil.Error:
            continue
    return found


@pytest.fixture(scope="module")
def flower(cluster: Cluster) -> Iterator[Flower]:
    with running_flower(cluster) as flower:
        yield flower


def pages(flower: Flower) -> Mapping[str, bytes]:
    """What Flower shows."""
    tasks, workers = (list(json.loads(flower.read(f"/api/{kind}?refresh=1"))) for kind in ("tasks", "workers"))
    assert tasks
    assert workers
    paths = ["/", "/tasks", "/broker", "/workers", "/metrics", "/api/tasks", "/api/workers?refresh=1"]
    paths += [f"/task/{task}" for task in tasks] + [f"/api/task/info/{task}" for task in tasks]
    paths += [f"/worker/{worker}" for worker in workers]
    return {f"Flower's {path}": flower.read(path).encode() for path in paths}


def environments(cluster: Cluster) -> Mapping[str, bytes]:
    """Those of the services, which need no secret of Longshore's, by the name of the process."""
    ports = {urlsplit(url).port for url in (cluster.settings.redis_url, cluster.settings.database_url)}
    found = {}
    for process in psutil.process_iter():
        with suppress(psutil.Error):
            listening = {each.laddr.port for each in process.net_connections() if each.status == psutil.CONN_LISTEN}
            if ports & listening:
                content = Path(f"/proc/{process.pid}/environ").read_bytes()
                found[f"environment of {process.name()} {process.pid}"] = content
    assert len(found) >= 2
    return found


def test_planted_secrets_are_found_nowhere(cluster: Cluster, client: Client, flower: Flower, tmp_path: Path) -> None:
    path = digits.write(tmp_path / "rows.parquet", 50)
    trained = client.train("digits", "linear", path, "label", epochs=1)
    trained.wait(TIMEOUT_S)
    done = client.infer("digits", path, output=f"{tmp_path}/out/*.jsonl")
    errors = []
    for url in (
        f"sftp://ann:{URL_SECRET}@127.0.0.1:1/rows.csv",
        f"https://127.0.0.1:1/rows.csv?X-Amz-Signature={URL_SECRET}",
        f"s3://key:{URL_SECRET}@bucket/rows.parquet",
    ):
        with pytest.raises(InvalidInput) as error:
            client.infer("digits", url)
        errors.append(str(error.value))
    copy = digits.write(tmp_path / "copy.parquet", 50)
    failed = client.infer("digits", copy, rows_per_shard=5)
    copy.write_bytes(b"damaged")
    client.wait([done, failed], TIMEOUT_S)
    found = {
        **everything(cluster),
        **pages(flower),
        **environments(cluster),
        "report": Path(trained.report(tmp_path / "report.html")).read_bytes(),
        "errors": "\n".join(
            [*errors, *(each.message for each in failed.errors()), repr(failed), repr(client)]
        ).encode(),
        "output": b"".join(Path(part).read_bytes() for part in done.parts()),
    }
    assert sum(map(len, found.values())) > 10_000, "the places were searched"
    leaks = [place for place, content in found.items() if any(secret in content for secret in secrets_of(cluster))]
    assert leaks == []
