"""The relay outlives another relay, its connections, and Redis with all that was in it."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from pathlib import Path

import pytest
import redis
from celery import Celery

from longshore.broker import relay as relay_module
from longshore.broker.app import make_app
from longshore.broker.relay import Relay
from longshore.shared.errors import ServiceUnavailable
from longshore.shared.ledger.ledger import Ledger
from longshore.shared.settings import Settings
from tests.integration.queued import flat, message_count, pass_time, submit_published, take_all, train_jobs
from tests.integration.support import submit
from tests.own_redis import OwnRedis
from tests.waiting import TIMEOUT_S, wait_until


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """Relays that wait for no longer than they must."""
    for name in ("ROUND_INTERVAL_S", "RETRY_INTERVAL_S"):
        monkeypatch.setattr(relay_module, name, 0.05)


@contextmanager
def running(relay: Relay) -> Iterator[None]:
    """A relay at work in a thread."""
    thread = threading.Thread(target=relay.run)
    thread.start()
    try:
        yield
    finally:
        relay.stop()
        thread.join()


def leader(ledger: Ledger) -> tuple[int, str] | None:
    """The connection that holds the lead: its process and the name of its ledger."""
    with ledger.database.connection() as link:
        found = link.execute(
            """SELECT pid, application_name FROM pg_locks JOIN pg_stat_activity USING (pid)
               WHERE locktype = 'advisory' AND granted AND datname = current_database()"""
        ).fetchall()
    assert len(found) <= 1
    return (int(found[0][0]), str(found[0][1])) if found else None


def end_connections(ledger: Ledger, application: str) -> None:
    with ledger.database.connection() as link:
        link.execute(
            "SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity WHERE application_name = %s", [application]
        )


@pytest.mark.usefixtures("quick")
def test_one_relay_leads_and_the_other_takes_over(ledger: Ledger, app: Celery, services: Settings) -> None:
    with ExitStack() as stack:
        stops: dict[str, Callable[[], None]] = {}
        for name in ("relay a", "relay b"):
            relay = Relay(stack.enter_context(Ledger(services.database_url, name)), app)
            stack.enter_context(running(relay))
            stops[name] = relay.stop
        wait_until(lambda: leader(ledger), "the first lead")
        first = leader(ledger)
        assert first is not None
        job = submit(ledger, 1)
        pass_time(ledger)
        wait_until(lambda: message_count(app) == 1, "publishing")

        stops[first[1]]()
        wait_until(lambda: (leader(ledger) or first)[1] != first[1], "another's lead")
        ledger.control.cancel(job)
        ledger.control.retry(job)
        with ledger.database.connection() as link:
            link.execute("UPDATE shards SET attempt = 1")
        wait_until(lambda: message_count(app) == 2, "publishing by the other")


@pytest.mark.usefixtures("quick")
def test_a_relay_outlives_the_loss_of_its_connections(ledger: Ledger, app: Celery, services: Settings) -> None:
    with Ledger(services.database_url, "relay a") as own, running(Relay(own, app)):
        for round_ in range(1, 4):
            wait_until(lambda: leader(ledger), "the lead")
            before = leader(ledger)
            end_connections(ledger, "relay a")
            wait_until(lambda: leader(ledger) not in (None, before), "a new lead")  # noqa: B023

            with redis.Redis.from_url(services.redis_url) as client:
                client.execute_command("CLIENT", "KILL", "TYPE", "normal")
            submit(ledger, 1)
            pass_time(ledger)
            wait_until(lambda: message_count(app) == round_, "publishing")  # noqa: B023


@pytest.fixture
def own_redis(tmp_path: Path) -> Iterator[OwnRedis]:
    own = OwnRedis(tmp_path)
    own.start()
    yield own
    own.kill()


@pytest.mark.usefixtures("quick")
def test_a_restart_of_redis_with_the_loss_of_all_is_waited_out(
    ledger: Ledger, services: Settings, own_redis: OwnRedis, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(relay_module, "COMPARE_INTERVAL_S", 0.05)
    app = make_app(replace(services, redis_url=own_redis.socket_url))
    names = submit_published(app, ledger, *train_jobs(20))
    relay = Relay(ledger, app)
    relay.step()
    own_redis.kill()
    with pytest.raises(ServiceUnavailable, match="Redis cannot be reached"):
        relay.replace_lost_tickets()
    unpublished = submit(ledger, 1)
    pass_time(ledger)
    with pytest.raises(ServiceUnavailable, match="Redis cannot be reached"):
        relay.step()

    with running(relay):
        own_redis.start()
        wait_until(lambda: message_count(app) == 21, "publishing")
    assert sorted(flat(take_all(app))) == sorted([*names, (unpublished, 0)])
    app.close()


def test_the_process_leads_publishes_and_ends_by_sigterm(ledger: Ledger, app: Celery, services: Settings) -> None:
    environment = {**os.environ, **services.environment(), "PYTHONSAFEPATH": "1"}
    command = [sys.executable, "-m", "longshore.broker.relay"]
    with subprocess.Popen(command, env=environment, stderr=subprocess.PIPE, text=True) as process:
        try:
            submit(ledger, 1)
            pass_time(ledger)
            wait_until(lambda: message_count(app) == 1, "publishing")
        finally:
            process.send_signal(signal.SIGTERM)
            _, log = process.communicate(timeout=TIMEOUT_S)
    assert process.returncode == 0
    assert "longshore.broker.relay: leading" in log
    assert "published 1 shards" in log


def test_the_process_without_a_cluster_says_what_to_do(tmp_path: Path) -> None:
    kept = {key: value for key, value in os.environ.items() if not key.startswith("LONGSHORE_")}
    command = [sys.executable, "-m", "longshore.broker.relay"]
    ended = subprocess.run(
        command, env={**kept, "LONGSHORE_HOME": str(tmp_path)}, capture_output=True, text=True, check=False
    )
    assert ended.returncode == 3
    assert "longshore up" in ended.stderr
    assert "Traceback" not in ended.stderr
