"""The example services answer as the version does, whatever server they run under."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import urllib.error
import urllib.request
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple, cast

import psutil
import pytest
from pydantic import JsonValue

from longshore.broker.embedded.services.ports import any_free_port
from longshore.producers import Client
from longshore.shared.ledger.postgres.pool import MAX_CONNECTIONS
from tests.integration import digits
from tests.integration.cluster import Cluster
from tests.waiting import TIMEOUT_S, wait_until

pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("digits_version")]

ROOT = Path(__file__).parents[3]
WORKERS = 4
UVICORN = ("uvicorn", "examples.service_fastapi:app", "--port")
GUNICORN = (
    *("gunicorn", "--workers", str(WORKERS), "--threads", "8", "--preload"),
    *("examples.service_flask:app", "--bind"),
)
IMAGES, _ = digits.digits()


class Answer(NamedTuple):
    status: int
    body: dict[str, JsonValue]


class Service(NamedTuple):
    address: str
    process: psutil.Process

    def ask(self, path: str, body: object = None) -> Answer:
        """POST a body as JSON, or GET."""
        data = None if body is None else json.dumps(body).encode()
        request = urllib.request.Request(f"{self.address}{path}", data, {"Content-Type": "application/json"})
        try:
            with urllib.request.urlopen(request, timeout=TIMEOUT_S) as answer:
                return Answer(answer.status, json.loads(answer.read()))
        except urllib.error.HTTPError as error:
            with error:
                return Answer(error.code, json.loads(error.read()))

    def predict(self, row: int) -> dict[str, JsonValue]:
        """The output of one image."""
        status, body = self.ask("/predict", IMAGES[row : row + 1].tolist())
        assert status == 200, body
        (output,) = cast(list[dict[str, JsonValue]], body["outputs"])
        return output


@contextmanager
def serving(cluster: Cluster, command: Sequence[str], **environment: str) -> Iterator[Service]:
    """Run a service; stopped by SIGTERM, after which no process is left."""
    port = any_free_port()
    where = f"127.0.0.1:{port}" if command[-1] == "--bind" else str(port)
    own = {"MODEL": "digits:1", "PYTHONPATH": str(ROOT), "PATIENCE": str(TIMEOUT_S)}
    full = {**cluster.environment, **own, **environment}
    with (cluster.folder / "service.log").open("wb") as log:
        process = subprocess.Popen([sys.executable, "-m", *command, where], env=full, stdout=log, stderr=log)
    service = Service(f"http://127.0.0.1:{port}", psutil.Process(process.pid))

    def answers() -> bool:
        assert process.poll() is None, (cluster.folder / "service.log").read_text()
        try:
            urllib.request.urlopen(service.address, timeout=5).close()
        except urllib.error.HTTPError:
            return True
        except OSError:
            return False
        return True

    try:
        wait_until(answers, "the start of the service")
        yield service
    finally:
        children = service.process.children(recursive=True)
        process.terminate()
        process.wait(TIMEOUT_S)
        _, left = psutil.wait_procs(children, timeout=TIMEOUT_S)
    assert not left


@pytest.mark.parametrize("command", [UVICORN, GUNICORN], ids=["uvicorn", "gunicorn"])
def test_everybody_gets_their_own_answer(cluster: Cluster, client: Client, command: Sequence[str]) -> None:
    job = client.infer("digits", IMAGES[:100])
    job.wait(TIMEOUT_S)
    expected = [row.output for row in job.stream()]
    with serving(cluster, command) as service, ThreadPoolExecutor(20) as pool:
        answers = list(pool.map(service.predict, range(100)))
        assert [answer["label"] for answer in answers] == [output["label"] for output in expected]
        # A batch of another size may round the last bits of a score differently.
        assert [answer["score"] for answer in answers] == pytest.approx([output["score"] for output in expected], 1e-5)
        refused = service.ask("/predict", [[1.0, 2.0]])
        assert refused.status == 422
        assert "64" in str(refused.body["error"])


def test_a_worker_of_gunicorn_that_is_killed_takes_no_job_with_it(cluster: Cluster, client: Client) -> None:
    with serving(cluster, GUNICORN) as service, ThreadPoolExecutor(20) as pool:
        wait_until(lambda: len(service.process.children()) == WORKERS, "the start of all workers")
        workers = [child.pid for child in service.process.children()]
        before = {job.id for job in client.jobs(limit=1000)}
        answers = [pool.submit(service.predict, row) for row in range(200)]
        wait_until(lambda: len(client.jobs(limit=1000)) > len(before) + 20, "some jobs")
        os.kill(workers[0], signal.SIGKILL)
        # Callers of that worker get no answer; their jobs go on.
        lost = sum(each.exception(TIMEOUT_S) is not None for each in answers)
        assert lost <= len(answers) // 2
        client.wait([job for job in client.jobs(limit=1000) if job.id not in before], TIMEOUT_S)
        wait_until(lambda: len(service.process.children()) == WORKERS, "another worker")
        assert service.predict(0)


def test_the_number_of_connections_is_bounded(cluster: Cluster) -> None:
    with serving(cluster, GUNICORN) as service, ThreadPoolExecutor(32) as pool:
        list(pool.map(service.predict, range(200)))
        with cluster.ledger.database.connection() as conn:
            row = conn.execute(
                "SELECT count(*) FROM pg_stat_activity"
                " WHERE datname = current_database() AND application_name = 'longshore client'"
            ).fetchone()
        assert row is not None
        # Of each process, a pool and one connection that listens; and of the one that forks.
        assert WORKERS <= int(row[0]) <= (WORKERS + 1) * (MAX_CONNECTIONS + 1)


def test_who_asks_for_too_much_gets_the_job(cluster: Cluster) -> None:
    with serving(cluster, UVICORN, PATIENCE="0.0001") as service:
        status, body = service.ask("/predict", IMAGES[:50].tolist())
        assert status == 202

        def later() -> Answer:
            return service.ask(f"/jobs/{body['job']}")

        wait_until(lambda: later().body["state"] == "succeeded", "the end of the job")
        assert len(cast(list[JsonValue], later().body["outputs"])) == 50
        assert service.ask("/jobs/00000000-0000-0000-0000-000000000000").status == 404


def test_a_service_without_its_version_does_not_start(cluster: Cluster) -> None:
    environment = {**cluster.environment, "MODEL": "nothing", "PYTHONPATH": str(ROOT)}
    done = subprocess.run(
        [sys.executable, "-m", *UVICORN, str(any_free_port())],
        env=environment, capture_output=True, text=True, timeout=TIMEOUT_S, check=False,
    )  # fmt: skip
    assert done.returncode != 0
    assert "nothing" in done.stderr
