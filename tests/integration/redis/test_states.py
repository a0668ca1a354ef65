"""What Redis refuses, and what it is called; and a Redis that does not answer."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import pytest
from celery import Celery
from kombu.message import Message as Delivered

from longshore.broker import relay as relay_module
from longshore.broker.app import make_app
from longshore.broker.coalescing import Coalescer
from longshore.broker.coalescing_key import CoalescingKey
from longshore.broker.publishing import send
from longshore.broker.redis_errors import RedisUnavailable
from longshore.broker.relay import Relay
from longshore.broker.tickets import Message
from longshore.producers.cli.checks.check import Level
from longshore.producers.cli.checks.redis import check_redis
from longshore.shared.ledger.jobs.submission import tickets_of
from longshore.shared.ledger.ledger import Ledger
from longshore.shared.ledger.shards.batching import batch_key_of
from longshore.shared.settings import Settings
from longshore.shared.vocabulary import State
from tests.integration.queued import message_count, pass_time, train_jobs
from tests.integration.support import new_job, states_of, submit
from tests.own_redis import OwnRedis
from tests.tcp_proxy import TcpProxy
from tests.waiting import TIMEOUT_S, wait_until

BATCH_KEY = batch_key_of("sha256:1", "{}")


@pytest.fixture
def own(tmp_path: Path) -> Iterator[OwnRedis]:
    folder = tmp_path / "redis"
    folder.mkdir()
    with OwnRedis(folder) as own:
        yield own


@pytest.fixture
def settings(services: Settings, own: OwnRedis) -> Settings:
    return replace(services, redis_url=own.url)


@pytest.fixture
def app(settings: Settings) -> Iterator[Celery]:
    app = make_app(settings)
    yield app
    app.close()


def one() -> list[Message]:
    return [Message(tuple(tickets_of(train_jobs(1))))]


def small() -> Message:
    return Message(tuple(tickets_of([new_job(1, batch_key=BATCH_KEY)])))


def refused(app: Celery, settings: Settings, words: str) -> None:
    """Publishing and coalescing are refused with these words."""
    with pytest.raises(RedisUnavailable, match=words):
        send(app, one())
    with pytest.raises(RedisUnavailable, match=words):
        Coalescer(app, settings).publish(small())


def test_a_replica_is_called_read_only(own: OwnRedis, app: Celery, settings: Settings) -> None:
    send(app, one())
    with own.client() as client:
        client.execute_command("REPLICAOF", "127.0.0.1", "1")
        refused(app, settings, "Redis is read-only")
        check = check_redis(settings)
        assert (check.level, "read-only replica" in check.detail) == (Level.FAIL, True)
        client.execute_command("REPLICAOF", "NO", "ONE")
    send(app, one())
    assert message_count(app) == 2


def test_full_memory_is_called_so(own: OwnRedis, app: Celery, settings: Settings) -> None:
    with own.client() as client:
        client.config_set("maxmemory", "1")
        refused(app, settings, "memory of Redis is full")
        assert "of maxmemory are used" in check_redis(settings).detail
        client.config_set("maxmemory", "0")
    send(app, one())


def test_a_disk_that_cannot_be_written_is_called_so(
    own: OwnRedis, app: Celery, settings: Settings, tmp_path: Path
) -> None:
    send(app, one())
    with own.client() as client:
        client.config_set("save", "3600 1")
    shutil.rmtree(tmp_path / "redis")  # its working folder: it has none to save into any more
    with app.connection_for_write() as connection, connection.default_channel.conn_or_acquire() as client:
        client.bgsave()
        wait_until(lambda: client.info("persistence")["rdb_last_bgsave_status"] == "err", "the end of the snapshot")
        refused(app, settings, "MISCONF")
        with pytest.raises(RedisUnavailable, match="MISCONF"):
            check_redis(settings)
        client.config_set("stop-writes-on-bgsave-error", "no")
    send(app, one())


def test_a_wrong_password_is_called_so(own: OwnRedis, settings: Settings) -> None:
    with own.client() as client:
        client.config_set("requirepass", "right")
    for url, words in ((own.url, "refuses the login"), (own.url.replace("://", "://:wrong@"), "refuses the login")):
        other = replace(settings, redis_url=url)
        app = make_app(other)
        refused(app, other, words)
        app.close()


def test_publishing_into_a_stalled_redis_returns(own: OwnRedis, app: Celery, settings: Settings) -> None:
    send(app, one())
    own.stall()
    try:
        refused(app, settings, "does not answer")
    finally:
        own.resume()
    send(app, one())


def test_a_connection_whose_other_end_is_gone_is_given_up(own: OwnRedis, settings: Settings) -> None:
    with TcpProxy("127.0.0.1", own.port) as proxy:
        through = replace(settings, redis_url=f"redis://127.0.0.1:{proxy.port}/0")
        app = make_app(through)
        send(app, one())
        coalescer = Coalescer(app, through)
        assert coalescer.publish(small())
        coalescer.release(CoalescingKey("cpu", 4, BATCH_KEY))
        assert proxy.swallow() >= 2
        with pytest.raises(RedisUnavailable, match="does not answer"):
            send(app, one())
        # The others, which are gone too, are not waited for again.
        assert coalescer.publish(small())
        coalescer.release(CoalescingKey("cpu", 4, BATCH_KEY))
        send(app, one())
        assert coalescer.publish(small())
        app.close()


def test_a_worker_whose_acknowledgement_is_lost_takes_the_next_message(own: OwnRedis, settings: Settings) -> None:
    with TcpProxy("127.0.0.1", own.port) as proxy:
        app = make_app(replace(settings, redis_url=f"redis://127.0.0.1:{proxy.port}/0"))
        send(app, [*one(), *one()])
        with app.connection_for_read() as connection:
            channel = connection.default_channel
            channel.basic_qos(0, 1, False)  # one at a time, as workers do
            taken: list[Delivered] = []
            channel.basic_consume("cpu", no_ack=False, callback=taken.append, consumer_tag="tests")
            connection.drain_events(timeout=TIMEOUT_S)
            assert not channel.qos.can_consume()
            assert proxy.swallow() >= 1
            taken[0].ack()  # type: ignore[no-untyped-call]
            assert channel.qos.can_consume()
            # The connection that waits for messages is gone, too, and was closed with the one that was silent.
            connection.drain_events(timeout=TIMEOUT_S)
            assert len(taken) == 2
            taken[1].ack()  # type: ignore[no-untyped-call]
            # Only the first is still there to be delivered again.
            with own.client() as client:
                assert client.hkeys("unacked") == [taken[0].delivery_tag.encode()]
        app.close()


def test_a_relay_keeps_deadlines_while_redis_is_stalled(
    own: OwnRedis, app: Celery, ledger: Ledger, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(relay_module, "COMPARE_INTERVAL_S", 0.05)
    relay = Relay(ledger, app)
    own.stall()
    with ThreadPoolExecutor(1) as pool:
        running = pool.submit(relay.run)
        try:
            unpublished = submit(ledger, 1)
            pass_time(ledger)
            overdue = submit(ledger, 1, timeout=0.5)
            wait_until(lambda: ledger.queries.job(overdue).state is State.FAILED, "the end of the job at its deadline")
            own.resume()
            wait_until(lambda: message_count(app) > 0, "publishing")
        finally:
            own.resume()
            relay.stop()
        running.result(TIMEOUT_S)
    assert states_of(ledger, unpublished) == ["queued"]
