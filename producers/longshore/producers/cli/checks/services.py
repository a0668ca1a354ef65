"""Checks of Redis and the store."""

from __future__ import annotations

import re
from collections.abc import Mapping
from uuid import uuid4

import redis

from longshore.producers.cli.checks.check import Check, Level
from longshore.shared.errors import ServiceUnavailable
from longshore.shared.settings import Settings
from longshore.shared.store.open import open_folder

Info = Mapping[str, object]

#: Older releases have known vulnerabilities.
MIN_REDIS_RELEASE = (6, 2, 20)
#: Seconds to connect, and to wait for an answer.
REDIS_TIMEOUT_S = 5.0


def check_redis(settings: Settings) -> Check:
    """Check the release of Redis, and that it does not lose tickets when its memory is full or when it restarts.

    :raises ServiceUnavailable: Redis cannot be reached, or refuses the password.
    """
    try:
        with redis.Redis.from_url(
            settings.redis_url,
            socket_connect_timeout=REDIS_TIMEOUT_S,
            socket_timeout=REDIS_TIMEOUT_S,
            decode_responses=True,
        ) as client:
            info = {section: client.info(section) for section in ("server", "memory", "persistence")}
    except redis.RedisError as error:
        # Only the type of the error: the message can contain the address.
        raise ServiceUnavailable(f"Redis cannot be reached: {type(error).__name__}") from None
    except ValueError:
        raise ServiceUnavailable("redis_url: not a Redis URL; must be redis://:password@host:port/0") from None
    server = info["server"]
    product = f"Valkey {server['valkey_version']}" if "valkey_version" in server else f"Redis {server['redis_version']}"
    problems = _configuration_problems(info["memory"], info["persistence"])
    details = [product, *(problems or ["noeviction, append-only file"])]
    level = Level.WARN if problems else Level.OK
    if "valkey_version" not in server and parse_release(str(server["redis_version"])) < MIN_REDIS_RELEASE:
        details.append(f"in production use {'.'.join(map(str, MIN_REDIS_RELEASE))} or newer")
        if settings.home is None:  # the embedded Redis listens on loopback only
            level = Level.WARN
    return Check("redis", level, "; ".join(details))


def _configuration_problems(memory: Info, persistence: Info) -> list[str]:
    problems = []
    if memory.get("maxmemory_policy") != "noeviction":
        policy = memory.get("maxmemory_policy")
        problems.append(f"maxmemory-policy is {policy}: set noeviction, or tickets are lost when memory is full")
    if not persistence.get("aof_enabled"):
        problems.append("appendonly is no: set yes, or a restart loses tickets until the relay publishes them again")
    return problems


def check_store(settings: Settings) -> Check:
    """Check the store: write a file, read it and delete it.

    :raises ServiceUnavailable: one of these failed.
    """
    folder = open_folder(settings.store)
    path, content = f"tmp/doctor-{uuid4().hex}", b"longshore doctor"
    folder.write(path, iter([content]))
    try:
        stored = folder.read(path)
    except FileNotFoundError:
        raise ServiceUnavailable(f"store {folder.name}: a file that was just written does not exist") from None
    finally:
        folder.delete(path)
    if stored != content:
        raise ServiceUnavailable(f"store {folder.name}: a file was read with other content than was written")
    return Check("store", Level.OK, f"{folder.name}: readable and writable")


def parse_release(text: str) -> tuple[int, ...]:
    """A version such as ``6.2.14`` as a tuple of numbers that can be compared."""
    return tuple(int(part) for part in re.findall(r"\d+", text)[:3])
