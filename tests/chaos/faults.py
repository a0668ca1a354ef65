"""The faults: each is put in place for a while, and then taken away."""

from __future__ import annotations

import json
import random
import signal
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, suppress
from uuid import uuid4

import psutil
import psycopg
import redis

from tests.chaos import machine_faults
from tests.chaos.deployment import LEASE_S, Deployment, send, with_children
from tests.chaos.registry import FAULTS, fault
from tests.tcp_proxy import TcpProxy

__all__ = ["ASKING", "FAULTS", "machine_faults"]

#: Those that ask Redis or Postgres for something. Made together with others they come first, while both answer.
ASKING = {
    *("FLUSHALL", "messages lost", "messages doubled and shuffled", "messages malformed"),
    *("connections ended by an administrator", "Postgres read-only", "statements cancelled", "tables locked"),
}
#: The messages of the queues, in every priority and under every prefix.
QUEUES = ("*cpu*", "*gpu*")


# Processes


def _pick(processes: list[psutil.Process], rng: random.Random) -> list[psutil.Process]:
    return [rng.choice(processes)] if processes else []


def _signal(
    name: str, choose: Callable[[Deployment, random.Random], list[psutil.Process]], number: signal.Signals
) -> None:
    """A signal to processes; those that are stopped go on afterwards."""

    def inject(deployment: Deployment, rng: random.Random) -> Iterator[None]:
        chosen = choose(deployment, rng)
        send(chosen, number)
        try:
            yield
        finally:
            if number is signal.SIGSTOP:
                send(chosen, signal.SIGCONT)

    fault(name)(inject)


def _child(deployment: Deployment, rng: random.Random) -> list[psutil.Process]:
    return _pick(deployment.computing(), rng)


def _worker(deployment: Deployment, rng: random.Random) -> list[psutil.Process]:
    return _pick(deployment.workers(), rng)


def _whole_worker(deployment: Deployment, rng: random.Random) -> list[psutil.Process]:
    return [each for worker in _worker(deployment, rng) for each in with_children(worker)]


def _supervisor(deployment: Deployment, _: random.Random) -> list[psutil.Process]:
    found = deployment.process("workers")
    return [] if found is None else [found]


def _all_workers(deployment: Deployment, rng: random.Random) -> list[psutil.Process]:
    return [each for supervisor in _supervisor(deployment, rng) for each in with_children(supervisor)]


def _relay(deployment: Deployment, rng: random.Random) -> list[psutil.Process]:
    found = deployment.process(rng.choice(("relay-a", "relay-b")))
    return [] if found is None else [found]


def _both_relays(deployment: Deployment, _: random.Random) -> list[psutil.Process]:
    return [found for name in ("relay-a", "relay-b") if (found := deployment.process(name)) is not None]


def _producers(deployment: Deployment, rng: random.Random) -> list[psutil.Process]:
    names = [name for name in ("small-1", "small-2", "large", "training") if deployment.process(name) is not None]
    found = deployment.process(rng.choice(names)) if names else None
    return [] if found is None else [found]


def _redis(deployment: Deployment, _: random.Random) -> list[psutil.Process]:
    found = deployment.service("redis")
    return [] if found is None else [found]


def _postgres(deployment: Deployment, _: random.Random) -> list[psutil.Process]:
    found = deployment.service("postgres")
    return [] if found is None else [found]


def _all_of_postgres(deployment: Deployment, _: random.Random) -> list[psutil.Process]:
    return with_children(deployment.service("postgres"))


def _one_backend(deployment: Deployment, rng: random.Random) -> list[psutil.Process]:
    return _pick(_all_of_postgres(deployment, rng)[1:], rng)


for _name, _choose, _number in (
    ("child killed", _child, signal.SIGKILL),
    ("child frozen", _child, signal.SIGSTOP),
    ("child crashed (SIGSEGV)", _child, signal.SIGSEGV),
    ("worker killed", _worker, signal.SIGKILL),
    ("worker frozen", _worker, signal.SIGSTOP),
    ("worker and child frozen", _whole_worker, signal.SIGSTOP),
    ("worker stopped", _worker, signal.SIGTERM),
    ("supervisor killed", _supervisor, signal.SIGKILL),
    ("supervisor stopped", _supervisor, signal.SIGTERM),
    ("all workers killed", _all_workers, signal.SIGKILL),
    ("relay killed", _relay, signal.SIGKILL),
    ("relay frozen", _relay, signal.SIGSTOP),
    ("both relays killed", _both_relays, signal.SIGKILL),
    ("relay stopped", _relay, signal.SIGTERM),
    ("producer killed", _producers, signal.SIGKILL),
    ("Redis killed", _redis, signal.SIGKILL),
    ("Redis stopped", _redis, signal.SIGTERM),
    ("Redis frozen", _redis, signal.SIGSTOP),
    ("Postgres fast restart", _postgres, signal.SIGINT),
    ("Postgres immediate restart", _postgres, signal.SIGQUIT),
    ("Postgres frozen", _all_of_postgres, signal.SIGSTOP),
    ("Postgres backend killed", _one_backend, signal.SIGKILL),
):
    _signal(_name, _choose, _number)


@fault("SIGTERM storm")
def _storm(deployment: Deployment, rng: random.Random) -> Iterator[None]:
    for _ in range(10):
        send(_all_workers(deployment, rng), signal.SIGTERM)
        time.sleep(0.05)
    yield


@fault("child frozen past its lease")
def _frozen_past_lease(deployment: Deployment, rng: random.Random) -> Iterator[None]:
    chosen = _child(deployment, rng)
    send(chosen, signal.SIGSTOP)
    try:
        time.sleep(LEASE_S + 1)
        yield
    finally:
        send(chosen, signal.SIGCONT)


# Redis


@fault("FLUSHALL")
def _flush(deployment: Deployment, _: random.Random) -> Iterator[None]:
    with deployment.redis() as connection:
        connection.flushall()
    yield


@fault("messages lost")
def _lose_messages(deployment: Deployment, rng: random.Random) -> Iterator[None]:
    with deployment.redis() as connection:
        for key in _queues(connection):
            messages = connection.lrange(key, 0, -1)
            for message in rng.sample(messages, len(messages) // 2):
                connection.execute_command("LREM", key, 1, message)  # type: ignore[no-untyped-call]
    yield


@fault("messages doubled and shuffled")
def _double_messages(deployment: Deployment, rng: random.Random) -> Iterator[None]:
    with deployment.redis() as connection:
        for key in _queues(connection):
            messages = connection.lrange(key, 0, 500)
            rng.shuffle(messages)
            if messages:
                connection.rpush(key, *messages)
    yield


@fault("messages malformed")
def _malform_messages(deployment: Deployment, rng: random.Random) -> Iterator[None]:
    with deployment.redis() as connection:
        for key in _queues(connection):
            for message in connection.lrange(key, 0, 5):
                connection.lpush(key, _damaged(message, rng))
            connection.lpush(key, b"not json", b"{}", json.dumps({"body": uuid4().hex, "headers": {}}).encode())
    yield


def _queues(connection: redis.Redis) -> list[bytes]:
    keys = {key for pattern in QUEUES for key in connection.scan_iter(pattern, count=1000)}
    return sorted(key for key in keys if connection.type(key) == b"list")


def _damaged(message: bytes | str, rng: random.Random) -> bytes:
    message = message if isinstance(message, bytes) else message.encode()
    at = rng.randrange(len(message))
    return message[:at] + bytes([rng.randrange(256)]) + message[at + rng.randrange(8) :]


# Postgres


@fault("connections ended by an administrator")
def _end_connections(deployment: Deployment, _: random.Random) -> Iterator[None]:
    deployment.sql(
        "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
        " WHERE datname = current_database() AND pid <> pg_backend_pid()"
    )
    yield


@fault("Postgres read-only")
def _read_only(deployment: Deployment, _: random.Random) -> Iterator[None]:
    deployment.sql("ALTER SYSTEM SET default_transaction_read_only = on")
    try:
        deployment.sql("SELECT pg_reload_conf()")
        yield
    finally:
        with suppress(psycopg.Error):  # Postgres is down, by another fault
            deployment.make_postgres_writable()


@fault("statements cancelled")
def _cancel_statements(deployment: Deployment, rng: random.Random) -> Iterator[None]:
    for _ in range(5):
        deployment.sql(
            "SELECT pg_cancel_backend(pid) FROM pg_stat_activity WHERE state = 'active' AND pid <> pg_backend_pid()"
        )
        time.sleep(0.05)
    yield


@fault("tables locked")
def _lock_tables(deployment: Deployment, rng: random.Random) -> Iterator[None]:
    with psycopg.connect(deployment.direct.database_url) as connection:
        connection.execute("SET lock_timeout = '2s'")
        try:
            connection.execute(b"LOCK TABLE " + rng.choice((b"jobs", b"shards")) + b" IN ACCESS EXCLUSIVE MODE")
        except psycopg.errors.LockNotAvailable:
            connection.rollback()
        yield


# The network


def _stalled(proxy: TcpProxy, _: random.Random) -> AbstractContextManager[None]:
    return proxy.stalled()


def _refusing(proxy: TcpProxy, _: random.Random) -> AbstractContextManager[None]:
    return proxy.refusing()


def _delayed(proxy: TcpProxy, rng: random.Random) -> AbstractContextManager[None]:
    return proxy.delayed(rng.uniform(0.02, 0.3))


@contextmanager
def _cut(proxy: TcpProxy, rng: random.Random) -> Iterator[None]:
    for _ in range(rng.randrange(1, 4)):
        proxy.cut()
        time.sleep(0.1)
    yield


@contextmanager
def _swallow(proxy: TcpProxy, _: random.Random) -> Iterator[None]:
    proxy.swallow()
    yield


@contextmanager
def _lose_commits(proxy: TcpProxy, rng: random.Random) -> Iterator[None]:
    with proxy.losing_answers(lambda sent: b"COMMIT" in sent and rng.random() < 0.5):
        yield


def _network(name: str, act: Callable[[TcpProxy, random.Random], AbstractContextManager[None]], service: str) -> None:
    def inject(deployment: Deployment, rng: random.Random) -> Iterator[None]:
        with act(deployment.redis_proxy if service == "Redis" else deployment.postgres_proxy, rng):
            yield

    fault(f"{service} connections {name}")(inject)


for _service in ("Redis", "Postgres"):
    for _name, _act in (
        ("stalled", _stalled),
        ("refused", _refusing),
        ("delayed", _delayed),
        ("cut", _cut),
        ("swallowed", _swallow),
    ):
        _network(_name, _act, _service)
_network("cut after COMMIT", _lose_commits, "Postgres")
