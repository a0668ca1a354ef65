"""The users that ``longshore redis-acl`` prints: enough for each kind of process, and no more."""

from __future__ import annotations

import asyncio
import sys
import urllib.error
import urllib.request
from base64 import b64encode
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import pytest
import redis
from uuid_utils.compat import uuid7

from longshore.broker import upcoming
from longshore.broker.acl.lines import DEFAULT_USER_OFF
from longshore.broker.acl.rights import RedisRole
from longshore.broker.app import make_app
from longshore.broker.coalescing import Coalescer
from longshore.broker.embedded.services.ports import any_free_port
from longshore.broker.gateway.rate_limits import Bucket, RateLimits
from longshore.broker.gateway.text_deltas import TextDelta, encode_deltas, text_channel
from longshore.broker.publishing import send
from longshore.broker.redis_address import parse_redis_url
from longshore.broker.redis_errors import RedisUnavailable
from longshore.broker.relay import Relay
from longshore.broker.tickets import Message
from longshore.broker.upcoming import peek
from longshore.producers.cli.checks.check import Level
from longshore.producers.cli.checks.redis import check_redis
from longshore.producers.cli.checks.remote_control import check_remote_control
from longshore.producers.gateway import text_channels
from longshore.producers.gateway.text_channels import TextChannels
from longshore.shared.ledger.jobs.submission import tickets_of
from longshore.shared.ledger.ledger import Ledger
from longshore.shared.ledger.shards.batching import batch_key_of
from longshore.shared.settings import Settings
from tests.integration import digits
from tests.integration.cluster import Cluster
from tests.integration.command_line import CommandLine, without_settings
from tests.integration.logins import make_logins
from tests.integration.queued import pass_time, train_jobs
from tests.integration.support import migrated_database, new_job
from tests.own_redis import OwnRedis
from tests.waiting import TIMEOUT_S, wait_until

#: Commands of each role that must be refused. ``{}`` stands for the prefix of the cluster.
FORBIDDEN = {
    RedisRole.PRODUCER: """
        LRANGE {}cpu 0 -1|LLEN {}cpu|BRPOP {}cpu 1|RPOP {}cpu|DEL {}cpu|SET {}cpu x|EXPIRE {}cpu 1|RENAME {}cpu {}gpu
        LPUSH {}unacked x|LPUSH {}elsewhere x|SET {}longshore:cluster x|GET {}longshore:coalesce:x
        PUBLISH {}/0.celery.pidbox x|SUBSCRIBE {}/0.celery.pidbox|PSUBSCRIBE *
        EVAL return 0|SCRIPT FLUSH|INFO
    """,
    RedisRole.GATEWAY: """
        LRANGE {}cpu 0 -1|BRPOP {}cpu 1|DEL {}cpu|SET {}cpu x|LPUSH {}elsewhere x|GET {}longshore:coalesce:x
        PUBLISH {}/0.longshore:tokens:x x|SUBSCRIBE {}/0.celery.pidbox|SUBSCRIBE elsewhere|EVAL return 0|INFO
        PSUBSCRIBE {}/0.longshore:tokens:*
    """,
    RedisRole.WORKER: """
        LPUSH {}elsewhere x|SET {}longshore:cluster x|BRPOP {}x.reply.celery.pidbox 1|LRANGE {}cpu 0 -1|EVAL return 0
        PUBLISH {}elsewhere x|PSUBSCRIBE {}/0.celeryev/*|SCRIPT FLUSH|INFO
        SUBSCRIBE {}/0.longshore:tokens:x
    """,
    RedisRole.RELAY: """
        BRPOP {}cpu 1|RPOP {}cpu|DEL {}cpu|SET {}cpu x|EXPIRE {}cpu 1|LPUSH {}unacked x|HGET {}unacked x
        PUBLISH {}/0.celery.pidbox x|PSUBSCRIBE *|EVAL return 0|SET {}elsewhere x|INFO
    """,
    RedisRole.MONITOR: """
        LPUSH {}cpu x|RPUSH {}cpu x|BRPOP {}cpu 1|RPOP {}cpu|DEL {}cpu|PEXPIRE {}cpu 1|LRANGE {}cpu 0 -1|SET {}cpu x
        HGET {}unacked x|DEL {}unacked|SADD {}_kombu.binding.cpu x|SET {}longshore:cluster x|PUBLISH {}elsewhere x
    """,
}
FORBIDDEN_TO_ALL = """
    FLUSHALL|FLUSHDB|KEYS *|SCAN 0|CONFIG GET dir|CONFIG SET dir /tmp|SAVE|SHUTDOWN|ACL LIST|MODULE LIST
    CLIENT LIST|CLIENT KILL TYPE normal|MONITOR|REPLICAOF no one|SLAVEOF no one|MIGRATE h 1 k 0 1|RANDOMKEY|SWAPDB 0 1
    SORT {}cpu|COPY {}cpu {}gpu|DUMP {}cpu|OBJECT ENCODING {}cpu|FUNCTION LIST|FCALL f 0
"""


@dataclass(frozen=True)
class Server:
    """A Redis with the users of a cluster, and one for the test."""

    own: OwnRedis
    prefix: str

    def settings(self, role: RedisRole, services: Settings, password: str | None = None) -> Settings:
        """With the address of Redis for a role."""
        query = f"?prefix={self.prefix}" if self.prefix else ""
        login = f"longshore-{role}:{password or password_of(role)}"
        return replace(services, redis_url=f"redis://{login}@127.0.0.1:{self.own.port}/0{query}")

    def refused(self) -> list[str]:
        """What was refused since the last call, apart from the name of the library, without which clients go on."""
        with self.own.client() as client:
            entries = client.acl_log()
            client.acl_log_reset()
        found = [f"{entry['username']} {entry['reason']} {entry['object']}" for entry in entries]
        return [entry for entry in found if "setinfo" not in entry.lower()]


@dataclass(frozen=True)
class Flower:
    """A Flower on a port of this machine."""

    port: int
    password: str = "for-the-tests-alone"

    @property
    def command(self) -> tuple[str, ...]:
        return (sys.executable, "-m", "longshore.broker.flower", "--port", str(self.port))

    def read(self, path: str) -> str:
        """A page, or nothing while it does not answer."""
        request = urllib.request.Request(f"http://127.0.0.1:{self.port}{path}")
        request.add_header("Authorization", "Basic " + b64encode(f"longshore:{self.password}".encode()).decode())
        try:
            with urllib.request.urlopen(request, timeout=TIMEOUT_S) as response:
                return str(response.read().decode())
        except urllib.error.URLError:
            return ""


def password_of(role: RedisRole) -> str:
    return f"secret of {role}".replace(" ", "-")


@pytest.fixture(scope="module", params=["", "team-a:"], ids=["no prefix", "prefix"])
def server(tmp_path_factory: pytest.TempPathFactory, request: pytest.FixtureRequest) -> Iterator[Server]:
    folder = tmp_path_factory.mktemp("redis")
    arguments = ["--prefix", request.param]
    for role in RedisRole:
        (folder / role).write_text(f"{password_of(role)}\n")
        arguments += ["--password-file", f"{role}:{folder / role}"]
    printed = CommandLine(without_settings())("redis-acl", *arguments)
    assert (printed.code, printed.err) == (0, "")
    assert not any(password_of(role) in printed.out for role in RedisRole)
    assert DEFAULT_USER_OFF in printed.out.splitlines()
    file = folder / "users.acl"
    # The test itself is the user that must not be there.
    file.write_text(printed.out.replace(DEFAULT_USER_OFF, "user default on nopass ~* &* +@all"))
    with OwnRedis(folder, "--aclfile", str(file)) as own:
        yield Server(own, request.param)


@pytest.mark.parametrize("role", RedisRole)
def test_everything_else_is_refused(server: Server, services: Settings, role: RedisRole) -> None:
    lines = (FORBIDDEN[role] + FORBIDDEN_TO_ALL).replace("{}", server.prefix).replace("\n", "|")
    commands = [line.split() for line in lines.split("|") if line.strip()]
    assert len(commands) > 20
    with parse_redis_url(server.settings(role, services).redis_url).client() as client:
        assert client.ping()
        for command in commands:
            with pytest.raises(redis.exceptions.NoPermissionError):
                client.execute_command(*command)
    server.refused()


def test_a_producer_submits(server: Server, services: Settings) -> None:
    settings = server.settings(RedisRole.PRODUCER, services)
    app = make_app(settings)
    server.refused()
    send(app, [Message(tuple(tickets_of(train_jobs(1))))])
    small = Message(tuple(tickets_of([new_job(1, batch_key=batch_key_of("sha256:1", "{}"))])))
    coalescer = Coalescer(app, settings)
    assert coalescer.publish(small)
    assert not coalescer.publish(small)
    assert server.refused() == []
    # The work of another process is refused with the remedy.
    with pytest.raises(RedisUnavailable, match="not the rights that `longshore redis-acl` prints"):
        peek(app, "cpu", 4)
    assert check_redis(settings).level is Level.OK
    assert check_remote_control(settings).detail.startswith("this user of Redis may not ask workers")
    coalescer.close()
    app.close()


def test_a_gateway_hears_the_texts_that_a_worker_publishes(
    server: Server, services: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(text_channels, "SUBSCRIBE_TIMEOUT_S", TIMEOUT_S)
    address = parse_redis_url(server.settings(RedisRole.GATEWAY, services).redis_url)
    publisher = parse_redis_url(server.settings(RedisRole.WORKER, services).redis_url)
    job, delta = uuid7(), TextDelta(0, 0, 1, 0, "你好")
    server.refused()

    async def hear() -> TextDelta | None:
        channels, changed = TextChannels(address), asyncio.Event()
        async with channels.listening(job, changed) as inbox:
            with publisher.client() as client:
                await asyncio.to_thread(client.publish, text_channel(publisher, uuid7()), encode_deltas([delta]))
                await asyncio.to_thread(client.publish, text_channel(publisher, job), encode_deltas([delta]))
            await asyncio.wait_for(changed.wait(), TIMEOUT_S)
            heard = inbox.take()
            assert inbox.take() is None
        await channels.close()
        return heard

    assert asyncio.run(hear()) == delta
    assert server.refused() == []


def test_gateways_count_together_what_callers_use(server: Server, services: Settings) -> None:
    address = parse_redis_url(server.settings(RedisRole.GATEWAY, services).redis_url)
    bucket, job = Bucket(f"rows:{uuid7()}", 10, 86400), str(uuid7())
    server.refused()

    async def use() -> tuple[list[bool], float, list[list[str]], list[bool]]:
        gateways = [RateLimits(address) for _ in range(2)]
        first, second = gateways
        levels = [await gateway.take(bucket, 4) for gateway in (first, second, first)]
        below = await second.take(bucket, 7, need=-1e18)
        await first.add_unsettled(bucket.key, [job])
        listed = [await gateway.unsettled(bucket.key) for gateway in gateways]
        settled = [await gateway.settle(bucket.key, job) for gateway in gateways]
        for gateway in gateways:
            await gateway.close()
        return [level.taken for level in levels], below.left, listed, settled

    taken, left, listed, settled = asyncio.run(use())
    assert taken == [True, True, False]
    assert -5 <= left < -4.9, "5 more than it holds, and what has come since"
    assert listed == [[job], [job]]
    assert settled == [True, False]
    assert server.refused() == []


def test_a_relay_publishes_and_removes(
    server: Server, services: Settings, ledger: Ledger, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = server.settings(RedisRole.RELAY, services)
    app = make_app(settings)
    relay = Relay(ledger, app, parse_redis_url(settings.redis_url))
    monkeypatch.setattr(upcoming, "MAX_MESSAGES", 0)
    jobs = ledger.submissions.submit(train_jobs(2))  # each with a message of its own
    pass_time(ledger)
    server.refused()
    with server.own.client() as client:
        client.flushall()
        relay.step()
        relay.replace_lost_tickets()
        assert client.exists(f"{server.prefix}longshore:cluster")
        [queue] = client.scan_iter(f"{server.prefix}cpu*")
        assert client.llen(queue) == 2
        ledger.control.cancel(jobs[0])
        assert relay.remove_stale_messages() == 1
        assert client.llen(queue) == 1
    assert server.refused() == []
    app.close()


def test_workers_run_jobs_and_a_monitor_watches(server: Server, services: Settings, tmp_path: Path) -> None:
    with migrated_database(services) as fresh:
        plain = replace(fresh, store=f"file://{tmp_path}/store", home=None)
        make_logins(plain.database_url)
        cluster = Cluster(server.settings(RedisRole.WORKER, plain), tmp_path, "cpu", {})
        monitor = server.settings(RedisRole.MONITOR, plain)
        with server.own.client() as client:
            # The mark of the cluster of another test.
            client.flushall()
        server.refused()
        try:
            cluster.start_workers()
            relay = {"LONGSHORE_REDIS_URL": server.settings(RedisRole.RELAY, plain).redis_url}
            with cluster.other_workers((sys.executable, "-m", "longshore.broker.relay"), relay):
                cluster.settings = server.settings(RedisRole.PRODUCER, plain)
                with cluster.client() as producer:
                    images, labels = digits.digits()
                    producer.train("digits", "linear", digits.table(images, labels), "label", epochs=1).wait(TIMEOUT_S)
                    producer.infer("digits", images[:2]).wait(TIMEOUT_S)
            wait_until(lambda: check_remote_control(monitor).detail.startswith("1 worker answers"), "the answer")
            assert check_redis(monitor).detail.startswith(("Redis ", "Valkey "))
            flower = Flower(any_free_port())
            environment = {"LONGSHORE_REDIS_URL": monitor.redis_url, "LONGSHORE_FLOWER_PASSWORD": flower.password}
            with cluster.other_workers(flower.command, environment):
                wait_until(lambda: '"active_queues"' in flower.read("/api/workers?refresh=1"), "Flower's answer")
                assert '"cpu"' in flower.read("/api/queues/length")
            assert server.refused() == []
            for name in ("workers", "other workers"):
                assert "redis-acl" not in cluster.log(name)
                assert "NOPERM" not in cluster.log(name)
        finally:
            cluster.close()


@pytest.mark.parametrize("login", ["longshore-producer:wrong", "nobody:x", ":x"])
def test_a_wrong_login_is_named(server: Server, services: Settings, login: str) -> None:
    url = f"redis://{login}@127.0.0.1:{server.own.port}/0"
    with server.own.client() as client:
        # As in the file that is printed. The connection of the test stays signed in.
        client.acl_setuser("default", enabled=False)
        try:
            app = make_app(replace(services, redis_url=url))
            for attempt in (
                lambda: check_redis(replace(services, redis_url=url)),
                lambda: send(app, [Message(tuple(tickets_of(train_jobs(1))))]),
            ):
                with pytest.raises(RedisUnavailable, match="refuses the login: a wrong user or password"):
                    attempt()
            app.close()
        finally:
            client.acl_setuser("default", enabled=True)
