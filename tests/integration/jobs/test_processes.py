"""The processes of the workers, when they are killed, frozen or cannot start: none outlives or misses another."""

from __future__ import annotations

import os
import signal
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import suppress
from typing import cast
from urllib.parse import urlsplit

import psutil
import pytest
import redis

from longshore.broker.app import make_app
from longshore.producers import Client, Job
from longshore.shared.vocabulary import State
from tests.integration.cluster import Cluster
from tests.integration.jobs.hostile import Deed, hostile_client, infer, install
from tests.tcp_proxy import TcpProxy
from tests.waiting import TIMEOUT_S, wait_until

pytestmark = pytest.mark.slow

#: Runs a supervisor that becomes the parent of orphans, as process 1 of a container does.
SUBREAPER = """
import ctypes, runpy, sys
ctypes.CDLL(None).prctl(36, 1, 0, 0, 0)
sys.argv[:] = ["longshore worker", *sys.argv[1:]]
runpy.run_module("longshore.workers.process.supervisor", run_name="__main__", alter_sys=True)
"""


@pytest.fixture(scope="module")
def worker_environment(tmp_path_factory: pytest.TempPathFactory) -> Mapping[str, str]:
    return {
        "PYTHONPATH": install(tmp_path_factory.mktemp("installed")),
        # Long, so that nothing is run again only because a lease has run out.
        "LONGSHORE_LEASE": "120",
        "LONGSHORE_STALL_TIMEOUT": "5",
        "LONGSHORE_GRACE": "5",
        # To make a worker stop taking messages.
        "LONGSHORE_REMOTE_CONTROL": "all",
    }


@pytest.fixture(scope="module")
def client(cluster: Cluster) -> Iterator[Client]:
    with hostile_client(cluster) as client:
        yield client


def wait_for_start(job: Job) -> None:
    wait_until(lambda: job.state is State.RUNNING, "the start of the job")


def workers_of(supervisor: psutil.Process) -> list[psutil.Process]:
    """The parents of its workers that have begun; a child is a copy of the supervisor until then."""
    found = []
    for child in supervisor.children():
        with suppress(psutil.Error):  # it has ended
            if "longshore.workers.process.main" in child.cmdline():
                found.append(child)
    return found


def zombies_of(supervisor: psutil.Process) -> list[psutil.Process]:
    found = []
    for child in supervisor.children():
        with suppress(psutil.NoSuchProcess):  # it was reaped between the two questions
            if child.status() == psutil.STATUS_ZOMBIE:
                found.append(child)
    return found


def test_a_stopped_supervisor_hands_back_what_does_not_stop(cluster: Cluster, client: Client) -> None:
    job = infer(client, Deed.LOOP)
    wait_for_start(job)
    cluster.stop_workers()
    (shard,) = job.shards()
    # Handed back when the grace had ended, and not lost: no attempt was used up.
    assert (shard.state, shard.errors) == (State.QUEUED, [])
    job.cancel()
    cluster.start_workers()
    infer(client, 0.5).wait(TIMEOUT_S)


def test_workers_do_not_outlive_a_supervisor_that_is_killed(cluster: Cluster, client: Client) -> None:
    left = [*cluster.worker_pids(), *cluster.child_pids()]
    cluster.kill_supervisor()
    wait_until(lambda: not any(map(psutil.pid_exists, left)), "the end of its workers")
    assert cluster.ledger.workers.workers() == []
    cluster.start_workers()
    infer(client, 0.5).wait(TIMEOUT_S)


def test_a_frozen_worker_is_replaced(cluster: Cluster, client: Client) -> None:
    (worker,) = cluster.worker_pids()
    os.kill(worker, signal.SIGSTOP)
    job = infer(client, 0.5)
    cluster.wait_for_workers(other_than=[worker])
    job.wait(TIMEOUT_S)


def test_a_worker_that_takes_no_messages_is_replaced(cluster: Cluster, client: Client) -> None:
    (worker,) = cluster.worker_pids()
    app = make_app(cluster.settings)
    app.control.cancel_consumer("cpu", reply=True, timeout=10)
    app.close()
    job = infer(client, 0.5)
    cluster.wait_for_workers(other_than=[worker])
    job.wait(TIMEOUT_S)


def test_the_supervisor_reaps_orphans(cluster: Cluster) -> None:
    with cluster.other_workers([sys.executable, "-c", SUBREAPER, "--devices", "cpu"]) as supervisor:
        process = psutil.Process(supervisor.pid)
        wait_until(lambda: any(worker.children() for worker in workers_of(process)), "its worker")
        (parent,) = workers_of(process)
        grandchildren = parent.children(recursive=True)
        assert grandchildren
        # Orphans: the system makes the supervisor their parent.
        parent.kill()
        wait_until(lambda: not any(each.is_running() for each in grandchildren), "the end of the orphans")
        # It reaps them in turn: the last may be one for a moment.
        wait_until(lambda: not zombies_of(process), "the last of them to be reaped")


def test_a_worker_without_its_device_is_not_alive_and_takes_nothing(cluster: Cluster, client: Client) -> None:
    broken = {"LONGSHORE_WORKER_NAME": "cuda:7@tests", "LONGSHORE_WORKER_DEVICE": "cuda:7"}
    command = [sys.executable, "-m", "longshore.workers.process.main", "--queues", "cpu", "--slot", "cuda:7"]
    with cluster.other_workers(command, broken) as worker:
        started = time.monotonic()
        while worker.poll() is None:
            # It takes none of them, so none waits for its end.
            infer(client, 0.5).wait(TIMEOUT_S)
            assert time.monotonic() - started < TIMEOUT_S
        assert worker.returncode == 1
    assert "cuda:7@tests" not in [each.name for each in cluster.ledger.workers.workers()]
    assert "the child cannot start" in cluster.log("other workers")
    assert all(shard.errors == [] for job in client.jobs(kind="infer") for shard in job.shards())


def test_a_worker_that_postgres_refuses_says_so_once(cluster: Cluster) -> None:
    parts = urlsplit(cluster.environment["LONGSHORE_DATABASE_URL"])
    wrong = parts._replace(netloc=f"nobody:wrong@{parts.hostname}:{parts.port}").geturl()
    command = [sys.executable, "-m", "longshore.workers.process.supervisor", "--devices", "cpu"]
    with cluster.other_workers(command, {"LONGSHORE_DATABASE_URL": wrong}):
        wait_until(lambda: 'for user "nobody"' in cluster.log("other workers"), "a line about the login")
    (line,) = [line for line in cluster.log("other workers").splitlines() if 'for user "nobody"' in line]
    assert "correct the user and the password in LONGSHORE_DATABASE_URL" in line


def test_a_child_without_shards_does_not_keep_its_worker_from_stopping(cluster: Cluster, client: Client) -> None:
    """Such a child can wait for a message that Celery has forgotten, and the next worker for this one."""
    cluster.stop_workers()
    command = [sys.executable, "-m", "longshore.workers.process.supervisor", "--devices", "cpu"]
    with cluster.other_workers(command, {"LONGSHORE_GRACE": "600"}) as supervisor:
        before = len(cluster.log("other workers"))
        infer(client, 0.5).wait(TIMEOUT_S)
        (worker,) = workers_of(psutil.Process(supervisor.pid))
        (child,) = [each for each in worker.children() if "spawn_main" in " ".join(each.cmdline())]
        child.suspend()
        supervisor.terminate()
        supervisor.wait(TIMEOUT_S)
    assert "ending the child" in cluster.log("other workers")[before:]
    cluster.start_workers()


def test_a_worker_that_is_told_to_stop_ends_while_redis_is_silent(cluster: Cluster, client: Client) -> None:
    """Celery would go on to send an event until Redis answers. Nor does the next worker wait as after a failure."""
    parts = urlsplit(cluster.environment["LONGSHORE_REDIS_URL"])
    assert parts.hostname is not None
    cluster.stop_workers()
    with TcpProxy(parts.hostname, parts.port or 6379) as proxy:
        login, _, _ = parts.netloc.rpartition("@")
        through = parts._replace(netloc=f"{login}@127.0.0.1:{proxy.port}").geturl()
        environment = {"LONGSHORE_REDIS_URL": through, "LONGSHORE_GRACE": "600", "LONGSHORE_STALL_TIMEOUT": "600"}
        command = [sys.executable, "-m", "longshore.workers.process.supervisor", "--devices", "cpu"]
        with cluster.other_workers(command, environment) as supervisor:
            before = len(cluster.log("other workers"))
            infer(client, 0.5).wait(TIMEOUT_S)
            (worker,) = workers_of(psutil.Process(supervisor.pid))
            known = connections(worker, proxy.port)
            with proxy.stalled():
                wait_until(lambda: connections(worker, proxy.port) - known, "another connection")
                worker.terminate()
                worker.wait(TIMEOUT_S)
            infer(client, 0.5).wait(TIMEOUT_S)
            (following,) = workers_of(psutil.Process(supervisor.pid))
            following.terminate()
            again = "ended with status 0; starting it again in 1 s"
            wait_until(lambda: cluster.log("other workers")[before:].count(again) == 2, "the end of the second")
            infer(client, 0.5).wait(TIMEOUT_S)
    log = cluster.log("other workers")[before:]
    assert log.count("ending it now") == 1
    assert "Traceback" not in log
    cluster.start_workers()


def connections(process: psutil.Process, port: int) -> set[int]:
    """The ports from which a process has connected to a port of this machine."""
    return {each.laddr.port for each in process.net_connections() if each.raddr and each.raddr.port == port}


def test_messages_wait_while_postgres_is_away(cluster: Cluster, client: Client) -> None:
    """A worker that gave up a message would take the next one at once, until none was left."""
    parts = urlsplit(cluster.settings.database_url)
    assert parts.hostname is not None
    with TcpProxy(parts.hostname, parts.port or 5432) as proxy:
        through = parts._replace(netloc=f"{parts.username}:{parts.password}@127.0.0.1:{proxy.port}").geturl()
        cluster.stop_workers()
        left = unacknowledged(cluster)  # by workers that were killed
        command = [sys.executable, "-m", "longshore.workers.process.supervisor", "--devices", "cpu"]
        with cluster.other_workers(command, {"LONGSHORE_DATABASE_URL": through, "LONGSHORE_GRACE": "15"}) as supervisor:
            before = len(cluster.log("other workers"))  # of other tests
            infer(client, 0.5).wait(TIMEOUT_S)
            # A job has ended for all others a moment before its worker has had the answer to its commit.
            wait_until(lambda: unacknowledged(cluster) <= left, "the acknowledgement")
            with proxy.refusing():
                proxy.cut()
                # Too many rows to share a message.
                jobs = [infer(client, *[0.5] * 300) for _ in range(6)]
                said = "longshore.workers.execution: Postgres at"
                wait_until(lambda: said in cluster.log("other workers")[before:], "a line about Postgres")
                assert len(messages(cluster)) >= 5
            for job in jobs:
                job.wait(TIMEOUT_S)
            wait_until(lambda: unacknowledged(cluster) <= left, "the acknowledgements")
            # Nor does one that stops wait for it longer than it was given, whatever it was told to claim.
            with proxy.stalled():
                infer(client, 0.5)
                # This message or, where it was taken for lost and published twice, one of those before.
                wait_until(lambda: unacknowledged(cluster) - left, "a message that a worker holds")
                supervisor.terminate()
                supervisor.wait(TIMEOUT_S)
        log = cluster.log("other workers")[before:]
        assert "did not stop" not in log
        assert "longshore.workers.execution: Postgres works again" in log
        assert "Traceback" not in log
        assert [shard.errors for job in jobs for shard in job.shards()] == [[]] * 6
        cluster.start_workers()


def unacknowledged(cluster: Cluster) -> set[bytes]:
    """The messages that workers hold."""
    with redis.Redis.from_url(cluster.settings.redis_url) as connection:
        return set(cast("list[bytes]", connection.hkeys("unacked")))


def messages(cluster: Cluster) -> list[bytes]:
    """Those that wait for workers of CPUs."""
    with redis.Redis.from_url(cluster.settings.redis_url) as connection:
        return [
            each
            for key in connection.keys("cpu*")
            if connection.type(key) == b"list"
            for each in connection.lrange(key, 0, -1)
        ]
