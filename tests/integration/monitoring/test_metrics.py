"""The metrics and the health checks of a real relay and a real worker."""

from __future__ import annotations

import os
import re
import signal
import socket
import subprocess
import sys
import urllib.error
import urllib.request
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from prometheus_client.parser import text_string_to_metric_families

from longshore.producers import Client
from longshore.shared.ledger.roles.rights import Role
from longshore.shared.vocabulary import State
from tests.integration.cluster import Cluster
from tests.integration.digits import digits, table
from tests.integration.jobs.hostile import Deed, hostile_client, infer, install
from tests.integration.logins import as_role
from tests.own_redis import OwnRedis
from tests.promtool import promtool
from tests.waiting import TIMEOUT_S, wait_until

pytestmark = pytest.mark.slow

#: Name and labels of a sample.
Samples = dict[tuple[str, frozenset[tuple[str, str]]], float]


def free_ports(count: int) -> int:
    """The first of some ports in a row that nobody has, and that no other process of the test run is about to take."""
    own = 20000 + 1000 * int(os.environ.get("PYTEST_XDIST_WORKER", "gw0").removeprefix("gw"))
    for first in range(own, own + 1000, count):
        with ExitStack() as stack:
            try:
                for port in range(first, first + count):
                    stack.enter_context(socket.create_server(("127.0.0.1", port)))
            except OSError:
                continue
            return first
    raise AssertionError("no free ports")


@pytest.fixture(scope="module")
def port() -> int:
    """That of the relay; the worker has the next one."""
    return free_ports(2)


@pytest.fixture(scope="module")
def worker_environment(port: int, tmp_path_factory: pytest.TempPathFactory) -> Mapping[str, str]:
    installed = install(tmp_path_factory.mktemp("installed"))
    # Long, so that an attempt ends with its process, and not because a lease has run out.
    return {"LONGSHORE_METRICS_PORT": str(port), "PYTHONPATH": installed, "LONGSHORE_LEASE": "120"}


@pytest.fixture(scope="module")
def client(cluster: Cluster, port: int) -> Iterator[Client]:
    # The relay listens before the first job is submitted, and so counts all.
    wait_until(lambda: get(port, "/metrics")[0] == 200 and value(port, "workers", queue="cpu") == 1, "the lead")
    with hostile_client(cluster) as client:
        yield client


def get(port: int, path: str) -> tuple[int, str]:
    """The status and the text; 0 if nobody listens."""
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}{path}", timeout=TIMEOUT_S) as response:
            return response.status, response.read().decode()
    except urllib.error.HTTPError as error:
        return error.code, error.read().decode()
    except urllib.error.URLError:
        return 0, ""


def scrape(port: int) -> Samples:
    status, text = get(port, "/metrics")
    assert status == 200
    return {
        (sample.name, frozenset(sample.labels.items())): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }


def value(port: int, name: str, **labels: str) -> float | None:
    return scrape(port).get((f"longshore_{name}", frozenset(labels.items())))


def test_the_relay_counts_jobs_by_kind_and_outcome(client: Client, port: int) -> None:
    images, labels = digits()
    client.train("digits", "linear", table(images, labels), "label", epochs=1).wait(TIMEOUT_S)
    jobs = [client.infer("digits:1", table(images[:30])) for _ in range(3)]
    for job in jobs:
        job.wait(TIMEOUT_S)
    waiting = infer(client, Deed.LOOP)
    waiting.cancel()

    def counts() -> list[float | None]:
        ends = [("train", "succeeded"), ("infer", "succeeded"), ("infer", "cancelled")]
        return [value(port, "jobs_total", kind=kind, outcome=outcome) for kind, outcome in ends]

    wait_until(lambda: counts() == [2, 3, 1], "the counts")
    samples = scrape(port)
    for name in ("longshore_job_wait_seconds_count", "longshore_job_run_seconds_count"):
        assert samples[name, frozenset({("kind", "train")})] == 2
    wait_until(lambda: value(port, "queue_shards", queue="cpu") == 0, "the next count of what waits")
    assert value(port, "queue_oldest_seconds", queue="gpu") == 0
    assert value(port, "queue_messages", queue="gpu") == 0
    assert value(port, "relay_leads") == value(port, "service_up", service="redis") == 1
    assert value(port, "attempts_lost_total", cause="lease_expired") == 0
    assert value(port, "webhook_deliveries_pending") == value(port, "webhook_tries_total", outcome="gone") == 0


def test_a_worker_counts_shards_rows_and_models(cluster: Cluster, client: Client, port: int) -> None:
    worker = port + 1
    images, _ = digits()
    client.infer("digits:1", table(images[:500])).wait(TIMEOUT_S)
    wait_until(lambda: (value(worker, "model_loads_total") or 0) >= 1, "the count of the load, once a second")
    # The ends of jobs are heard of before the worker has counted them.
    ended = sum(shard.state is State.SUCCEEDED for job in client.jobs(limit=1000) for shard in job.shards())
    wait_until(lambda: value(worker, "shards_total", outcome="committed") == ended, "the count of all before")
    before = scrape(worker)
    client.infer("digits:1", table(images[:500])).wait(TIMEOUT_S)

    def growth(name: str, **labels: str) -> float:
        key = (f"longshore_{name}", frozenset(labels.items()))
        return scrape(worker)[key] - before[key]

    wait_until(lambda: growth("shards_total", outcome="committed") == 1, "the count of the shard")
    assert growth("inference_rows_total") == growth("batch_rows_sum") == 500
    assert growth("batch_rows_count") >= 1
    assert growth("run_seconds_count") == growth("commit_seconds_count") == 1
    assert growth("model_loads_total") == 0  # the jobs before have loaded it
    wait_until(lambda: (value(worker, "models_loaded_bytes") or 0) > 0, "a measurement")
    assert (value(worker, "model_loads_total") or 0) >= 1
    assert value(worker, "worker_ready") == 1
    (worker_record,) = cluster.ledger.workers.workers()
    labels = {"worker": worker_record.name, "device": worker_record.device, "queue": "cpu"}
    assert value(worker, "worker_info", **labels) == 1


def test_promtool_accepts_the_metrics_and_the_documentation_has_each(client: Client, port: int) -> None:
    names = set()
    for each in (port, port + 1):
        _, text = get(each, "/metrics")
        run = subprocess.run([promtool(), "check", "metrics"], input=text, capture_output=True, text=True, check=False)
        assert (run.returncode, run.stdout, run.stderr) == (0, "", "")
        names |= set(re.findall(r"^# TYPE (\w+)", text, re.MULTILINE))
    page = Path(__file__).parents[3] / "docs" / "how-to" / "metrics.md"
    documented = set(re.findall(r"\blongshore_\w+", page.read_text()))
    assert names - documented == set()
    assert {name for name in documented - names if "_device_" not in name} == set()


def test_no_label_names_a_job_a_model_or_a_producer(client: Client, port: int) -> None:
    labels = {label for each in (port, port + 1) for _, sample in scrape(each) for label, _ in sample}
    assert labels <= {"kind", "outcome", "queue", "service", "state", "cause", "le", "worker", "device"}


def test_a_worker_without_its_child_is_not_ready_and_its_counts_stay(
    cluster: Cluster, client: Client, port: int
) -> None:
    worker = port + 1
    assert get(worker, "/livez") == get(worker, "/readyz") == (200, "ok\n")
    committed = value(worker, "shards_total", outcome="committed")
    job = infer(client, Deed.LOOP)
    wait_until(lambda: job.state is State.RUNNING, "the start of the job")
    (child,) = cluster.child_pids()
    os.kill(child, signal.SIGKILL)
    wait_until(lambda: get(worker, "/readyz") == (503, "no child is ready to run shards\n"), "the end of the child")
    assert get(worker, "/livez")[0] == 200
    job.cancel()
    wait_until(lambda: get(worker, "/readyz")[0] == 200, "the next child")
    assert value(worker, "attempts_lost_total", cause="killed") == 1
    assert value(worker, "shards_total", outcome="committed") == committed


@contextmanager
def own_relay(cluster: Cluster, environment: Mapping[str, str]) -> Iterator[subprocess.Popen[bytes]]:
    """Another relay, which stands by."""
    database_url = as_role(cluster.settings, Role.RELAY).database_url
    command = [sys.executable, "-m", "longshore.broker.relay"]
    with cluster.other_workers(command, {"LONGSHORE_DATABASE_URL": database_url, **environment}) as process:
        yield process


def test_a_relay_that_stands_by_is_ready_as_long_as_redis_answers(cluster: Cluster) -> None:
    port = free_ports(1)
    with ExitStack() as stack:
        own = stack.enter_context(OwnRedis(Path(stack.enter_context(TemporaryDirectory()))))
        stack.enter_context(own_relay(cluster, {"LONGSHORE_METRICS_PORT": str(port), "LONGSHORE_REDIS_URL": own.url}))
        wait_until(lambda: get(port, "/readyz") == (200, "ok\n"), "a relay that stands by")
        assert value(port, "relay_leads") == 0
        assert value(port, "queue_shards", queue="cpu") is None
        own.kill()
        wait_until(lambda: get(port, "/readyz")[0] == 503, "an outage of Redis")
        assert "Redis" in get(port, "/readyz")[1]
        assert value(port, "service_up", service="redis") == 0
        assert value(port, "service_up", service="postgres") == 1
        assert get(port, "/livez") == (200, "ok\n")
        own.start()
        wait_until(lambda: get(port, "/readyz")[0] == 200, "the end of the outage")
        assert get(port, "/")[0] == 404


@pytest.mark.parametrize(
    ("module", "taken"), [("longshore.broker.relay", 0), ("longshore.workers.process.supervisor", 1)]
)
def test_a_taken_port_is_refused_at_the_start(cluster: Cluster, port: int, module: str, taken: int) -> None:
    command = [sys.executable, "-m", module]
    run = subprocess.run(command, env=cluster.environment, capture_output=True, text=True, check=False)
    assert run.returncode == 2
    assert f"LONGSHORE_METRICS_PORT: cannot listen on port {port + taken} of 127.0.0.1: Address already" in run.stderr


def test_the_package_is_needed_only_for_metrics(tmp_path: Path) -> None:
    """Without a port, a relay needs no package for metrics."""
    code = "import sys; import longshore.broker.relay; sys.exit('prometheus_client' in sys.modules)"
    assert subprocess.run([sys.executable, "-P", "-c", code], cwd=tmp_path, check=False).returncode == 0
