"""Every command line and health check of compose.yaml, run as it is written there."""

from __future__ import annotations

import json
import signal
import subprocess
import tempfile
import urllib.error
import urllib.request
from base64 import b64encode
from collections.abc import Iterator
from pathlib import Path

import psutil
import psycopg
import pytest
import redis

from longshore.producers import Client
from longshore.shared.devices import detect_machine
from longshore.shared.settings import load_settings
from tests.integration.deployment.site import SERVICES, START, Site, make_database, make_site
from tests.waiting import TIMEOUT_S

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def servers() -> Iterator[Site]:
    """Redis and Postgres, healthy, with the database the image would have made."""
    with tempfile.TemporaryDirectory(prefix="longshore-test-", dir="/tmp") as folder:
        site = make_site(Path(folder))
        try:
            make_database(site)
            site.start_healthy("redis")
            site.start_healthy("postgres")
            with psycopg.connect(site.database_url("postgres"), autocommit=True) as link:
                link.execute("CREATE DATABASE longshore")
            yield site
        finally:
            site.close()


@pytest.fixture(scope="module")
def deployment(servers: Site) -> Site:
    """Everything but the GPU worker, healthy."""
    assert servers.run("migrate") == 0, servers.read_log("migrate")
    for name in ("relay", "worker-cpu", "flower", "gateway"):
        servers.start_healthy(name)
    return servers


def test_redis_is_durable_and_closed(servers: Site) -> None:
    port = servers.ports["redis"]
    with redis.Redis(port=port) as client, pytest.raises(redis.AuthenticationError):
        client.ping()
    with redis.Redis(port=port, password=servers.password("redis_password")) as client:
        kept = client.config_get("append*") | client.config_get("maxmemory-policy") | client.config_get("dir")
    assert kept["appendonly"] == "yes"
    assert kept["appendfsync"] == "everysec"
    assert kept["maxmemory-policy"] == "noeviction"
    assert kept["dir"] == str(servers.place / "redis")


@pytest.mark.parametrize("password", ["", "two words", "a'b", "a\nappendonly no"])
def test_redis_does_not_start_without_a_password_it_can_read(servers: Site, tmp_path: Path, password: str) -> None:
    (tmp_path / "redis_password").write_text(password)
    command = [servers.here(part).replace(str(servers.secrets), str(tmp_path)) for part in SERVICES["redis"].command]
    told = servers.environment(SERVICES["redis"])
    ended = subprocess.run(command, env=told, capture_output=True, text=True, timeout=TIMEOUT_S, check=False)
    assert ended.returncode == 1
    assert ended.stderr == "redis_password: write letters, digits, - and _ only\n"


def test_postgres_is_durable_and_closed(servers: Site) -> None:
    with psycopg.connect(servers.database_url()) as link:
        names = ("fsync", "synchronous_commit", "max_connections", "max_wal_size", "server_encoding", "data_checksums")
        shown = {name: link.execute(f"SHOW {name}").fetchone() for name in names}
    assert shown == dict(zip(names, [("on",), ("on",), ("200",), ("4GB",), ("UTF8",), ("on",)], strict=True))
    guess = servers.database_url().replace(servers.password("postgres_password"), "guess")
    with pytest.raises(psycopg.OperationalError, match="password authentication failed"):
        psycopg.connect(guess)


def test_migrate_ends_well_every_time(deployment: Site) -> None:
    assert deployment.run("migrate") == 0
    assert deployment.read_log("migrate").count("the tables are at revision") == 2


def test_a_job_goes_through_and_is_listed_where_there_is_no_store(deployment: Site) -> None:
    data = deployment.place / "xor.csv"
    data.write_text("a,b,y\n" + "0,0,no\n0,1,yes\n1,0,yes\n1,1,no\n" * 25)
    settings = load_settings(environ=deployment.environment(SERVICES["operator"]))
    with Client(redis_url=settings.redis_url, database_url=settings.database_url, store=settings.store) as client:
        client.train(model="xor", family="mlp", data=str(data), target="y", epochs=1).wait(timeout=START)
        results = client.infer("xor:1", str(data)).wait(timeout=START).results()
    assert results.num_rows == 100

    told = {**deployment.environment(SERVICES["relay"]), "LONGSHORE_STORE": "file:///proc/not-mounted"}
    command = ["longshore", "jobs", "list", "--json"]
    listed = subprocess.run(command, env=told, capture_output=True, text=True, timeout=TIMEOUT_S, check=True).stdout
    assert [job["kind"] for job in json.loads(listed)] == ["infer", "train"]


def test_flower_asks_for_the_password_of_its_secret(deployment: Site) -> None:
    url = f"http://127.0.0.1:{deployment.ports['flower']}/workers"
    with pytest.raises(urllib.error.HTTPError, match="401") as caught:
        urllib.request.urlopen(url, timeout=TIMEOUT_S)
    caught.value.close()
    token = b64encode(f"longshore:{deployment.password('flower_password')}".encode()).decode()
    request = urllib.request.Request(url, headers={"Authorization": f"Basic {token}"})
    with urllib.request.urlopen(request, timeout=TIMEOUT_S) as answer:
        assert answer.status == 200


def test_no_password_is_in_a_command_line_or_a_log(deployment: Site) -> None:
    roots = [psutil.Process(process.pid) for process in deployment.running.values()]
    processes = [child for root in roots for child in (root, *root.children(recursive=True))]
    assert len(processes) > len(roots)
    told = "".join(" ".join(process.cmdline()) for process in processes)
    told += "".join(file.read_text(errors="replace") for file in (deployment.place / "logs").iterdir())
    assert "redis-server" in told
    for secret in deployment.secrets.iterdir():
        assert secret.read_text() not in told


def test_the_gpu_worker_runs_or_says_that_there_is_no_gpu(deployment: Site) -> None:
    if detect_machine().gpus:
        deployment.start_healthy("worker-gpu-0")
        assert deployment.stop("worker-gpu-0") == 0
    else:
        assert deployment.run("worker-gpu-0") == 2
        assert "cuda: this process sees no GPU" in deployment.read_log("worker-gpu-0")


def test_everything_stops_when_told_and_is_then_known_to_be_gone(deployment: Site) -> None:
    for name in ("gateway", "flower", "worker-cpu", "relay"):
        assert deployment.stop(name) == 0, deployment.read_log(name)
        assert deployment.ask_health(name) == 1
    assert "no relay leads" in deployment.read_log("relay-health")
    # The image's own signal to stop: Postgres ends open sessions instead of waiting for them.
    assert deployment.stop("postgres", signal.SIGINT) == 0
    assert deployment.ask_health("postgres") != 0
    assert deployment.stop("redis") == 0
    assert deployment.ask_health("redis") == 1
