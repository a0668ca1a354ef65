"""Flower as ``up`` starts it: real Redis, a real worker, and every door tried."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import urllib.error
import urllib.request
from base64 import b64encode
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from longshore.broker import embedded
from longshore.broker.embedded.home import Home
from longshore.broker.embedded.plan import FLOWER, Service
from longshore.broker.embedded.services.ports import any_free_port
from longshore.shared.settings import load_settings
from tests.integration.homes import folder_for_homes
from tests.waiting import TIMEOUT_S, wait_until

#: A worker without tasks, to be looked at.
WORKER = """
from longshore.broker.app import make_app
from longshore.shared.settings import load_settings
make_app(load_settings()).Worker(pool="solo", concurrency=1, hostname="looked-at@here").start()
"""


@dataclass(frozen=True)
class Site:
    """A Flower that runs, and the home it shows."""

    home: Path
    port: int
    password: str

    def request(self, path: str, *, method: str = "GET", password: str | None = None) -> tuple[int, str]:
        """Status and body."""
        request = urllib.request.Request(f"http://127.0.0.1:{self.port}{path}", method=method)
        if method == "POST":
            request.data = b""
        if password is not None:
            request.add_header("Authorization", "Basic " + b64encode(f"longshore:{password}".encode()).decode())
        try:
            with urllib.request.urlopen(request, timeout=30) as answer:
                return answer.status, answer.read().decode(errors="replace")
        except urllib.error.HTTPError as error:
            with error:
                return error.code, error.read().decode(errors="replace")

    def read(self, path: str) -> tuple[int, str]:
        """As somebody who signed in."""
        return self.request(path, password=self.password)


@pytest.fixture(scope="module")
def site() -> Iterator[Site]:
    with folder_for_homes() as folder:
        home = folder / "home"
        port = any_free_port()
        services = (
            Service(name="flower", argv=(*FLOWER, "--port", str(port))),
            Service(name="worker", argv=(sys.executable, "-c", WORKER)),
        )
        embedded.up(home, detach=True, services=services, migrate=())
        found = Site(home, port, Home(home).load_secrets().flower_password)
        await_worker(found)
        yield found


def await_worker(site: Site) -> None:
    """Until Flower answers, and knows the worker."""

    def knows_the_worker() -> bool:
        try:
            status, body = site.read("/api/workers?refresh=1")
        except OSError:
            return False
        return status == 200 and all(
            "conf" in worker and "stats" in worker for worker in json.loads(body).values() or [{}]
        )

    try:
        wait_until(knows_the_worker, "the worker's registration with Flower")
    except AssertionError as error:
        logs = [(site.home / "logs" / f"{name}.log").read_text() for name in ("flower", "worker")]
        raise AssertionError(f"{error}\n{''.join(logs)}") from None


READS = [
    "/",
    "/workers",
    "/workers?json=1&refresh=1",
    "/worker/looked-at@here",
    "/tasks",
    "/broker",
    "/api/workers",
    "/api/workers?refresh=1&workername=looked-at@here",
    "/api/tasks",
    "/api/task/types",
    "/api/queues/length",
    "/metrics",
]


@pytest.mark.parametrize("path", READS)
def test_pages_show_no_password_and_ask_for_one(site: Site, path: str) -> None:
    status, body = site.read(path)
    assert status == 200
    secrets = Home(site.home).load_secrets()
    for secret in (secrets.redis_password, secrets.postgres_password, secrets.flower_password):
        assert secret not in body
    assert site.request(path)[0] == 401
    assert site.request(path, password="guess")[0] == 401


def test_the_worker_is_shown(site: Site) -> None:
    status, body = site.read("/worker/looked-at@here")
    assert status == 200
    assert "looked-at@here" in body
    assert "task_acks_late" in body


def all_paths() -> list[str]:
    """One path for each of Flower's own patterns, taken from Flower itself: those of a later version come along."""
    from flower.urls import handlers

    patterns = [entry.regex.pattern.rstrip("$") if hasattr(entry, "regex") else entry[0] for entry in handlers]
    return [
        pattern.replace("(.+)", "any").replace("(.*)", "any").replace("/?", "").replace(".*", "/no")
        for pattern in patterns
    ]


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "PATCH"])
def test_nothing_can_be_changed(site: Site, method: str) -> None:
    paths = all_paths()
    assert "/api/task/async-apply/any" in paths
    assert "/api/worker/shutdown/any" in paths
    answers = {path: site.request(path, method=method, password=site.password)[0] for path in paths}
    del answers["/tasks/datatable"]  # a query that is sent by POST
    assert set(answers.values()) == {403}
    assert "looked-at@here" in site.read("/api/workers?refresh=1&workername=looked-at@here")[1]


def test_the_table_of_tasks_can_be_read(site: Site) -> None:
    query = "draw=1&start=0&length=10&search[value]=&order[0][column]=0&order[0][dir]=asc&columns[0][data]=name"
    status, body = site.request(f"/tasks/datatable?{query}", method="POST", password=site.password)
    assert status == 200
    assert json.loads(body)["data"] == []


def test_health_is_told_without_a_password(site: Site) -> None:
    assert site.request("/healthcheck") == (200, "OK")
    assert site.request("/healthcheck", method="POST")[0] == 403


def start_flower(site: Site, *arguments: str, **environ: str) -> subprocess.Popen[str]:
    full = {**os.environ, **load_settings(home=site.home, environ={}).environment(), **environ}
    argv = [*FLOWER, *arguments]
    return subprocess.Popen(argv, env=full, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)


def test_it_takes_the_password_from_a_file_and_ends_on_sigterm(site: Site, tmp_path: Path) -> None:
    (tmp_path / "password").write_text("from-a-file\n")
    port = any_free_port()
    with start_flower(site, "--port", str(port), LONGSHORE_FLOWER_PASSWORD_FILE=str(tmp_path / "password")) as flower:
        assert flower.stdout is not None
        said = next(line for line in flower.stdout if "listens on" in line)
        second = Site(site.home, port, "from-a-file")
        assert second.read("/tasks")[0] == 200
        flower.send_signal(signal.SIGTERM)
        rest = flower.communicate(timeout=TIMEOUT_S)[0]
    assert flower.returncode == 0
    assert "from-a-file" not in said + rest


def test_a_taken_port_is_named(site: Site) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with start_flower(site, "--port", str(port)) as flower:
            said = flower.communicate(timeout=TIMEOUT_S)[0]
    assert flower.returncode == 2
    assert f"--port: cannot listen on 127.0.0.1:{port}" in said
