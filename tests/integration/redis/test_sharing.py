"""Two clusters on one Redis: with a prefix each has its own keys, and without one both say so."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
import redis

from longshore.broker.app import make_app
from longshore.broker.coalescing import Coalescer
from longshore.broker.publishing import send
from longshore.broker.redis_address import parse_redis_url
from longshore.broker.relay import Relay
from longshore.broker.tickets import Message
from longshore.producers.cli.checks.check import Level
from longshore.producers.cli.checks.redis import check_redis
from longshore.producers.cli.checks.remote_control import check_remote_control
from longshore.shared.ledger.jobs.submission import tickets_of
from longshore.shared.ledger.ledger import Ledger
from longshore.shared.ledger.migrate import migrate
from longshore.shared.ledger.shards.batching import batch_key_of
from longshore.shared.settings import Settings
from tests.integration import digits
from tests.integration.cluster import cluster_on_redis
from tests.integration.queued import message_count, take_all, train_jobs
from tests.integration.support import empty_database, new_job
from tests.own_redis import OwnRedis
from tests.waiting import TIMEOUT_S, wait_until


@pytest.fixture
def own(tmp_path: Path) -> Iterator[OwnRedis]:
    with OwnRedis(tmp_path) as own:
        yield own


def test_keys_of_two_prefixes_are_apart(own: OwnRedis, services: Settings) -> None:
    first, second = (replace(services, redis_url=f"{own.url}?prefix={name}:") for name in ("one", "two"))
    apps = [make_app(first), make_app(second)]
    send(apps[0], [Message(tuple(tickets_of(train_jobs(1))))])
    small = Message(tuple(tickets_of([new_job(1, batch_key=batch_key_of("sha256:1", "{}"))])))
    assert Coalescer(apps[0], first).publish(small)
    assert Coalescer(apps[1], second).publish(small)
    assert [message_count(app) for app in apps] == [2, 1]
    assert len(take_all(apps[1])) == 1
    assert message_count(apps[0]) == 2
    with own.client() as client:
        assert all(key.startswith((b"one:", b"two:")) for key in client.scan_iter())
    for app in apps:
        app.close()


def test_a_second_cluster_on_the_same_keys_is_noticed(
    own: OwnRedis, services: Settings, ledger: Ledger, caplog: pytest.LogCaptureFixture
) -> None:
    first = replace(services, redis_url=own.url)
    address = parse_redis_url(own.url)
    app = make_app(first)
    Relay(ledger, app, address).step()
    assert check_redis(first).level is not Level.FAIL
    with empty_database(services) as fresh:
        second = replace(fresh, redis_url=own.url)
        migrate(second.database_url)
        # The mark lasts for 30 s; a slow machine has perhaps taken as long to make the database.
        Relay(ledger, app, address).step()
        check = check_redis(second)
        assert (check.level, "another cluster uses the same database" in check.detail) == (Level.FAIL, True)
        with Ledger(second.database_url, "other") as other, caplog.at_level(logging.ERROR):
            Relay(other, app, address).step()
        assert "another cluster uses the same database" in caplog.text
        apart = replace(second, redis_url=f"{own.url}?prefix=second:")
        assert check_redis(apart).level is not Level.FAIL
    app.close()


def test_a_whole_cluster_runs_with_a_prefix_and_on_a_socket(own: OwnRedis, services: Settings, tmp_path: Path) -> None:
    url = f"unix://{own.socket}?db=3&prefix=team-a:"
    with cluster_on_redis(services, url, tmp_path) as cluster:
        with cluster.client() as client:
            images, labels = digits.digits()
            client.train("digits", "linear", digits.table(images, labels), "label", epochs=1).wait(TIMEOUT_S)
            client.infer("digits", images[:2]).wait(TIMEOUT_S)
        wait_until(lambda: check_remote_control(cluster.settings).detail.startswith("1 worker answers"), "the answer")
        with redis.Redis(unix_socket_path=str(own.socket), db=3) as connection:
            keys = list(connection.scan_iter())
            channels = connection.execute_command("PUBSUB", "NUMPAT")
        assert keys
        assert all(key.startswith(b"team-a:") for key in keys)
        assert channels == 1
