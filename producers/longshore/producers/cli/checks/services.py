"""Whether Redis and the store can be relied on."""

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

#: Older releases have known holes.
RECOMMENDED = (6, 2, 20)
#: Seconds.
TIMEOUT = 5.0


def check_redis(settings: Settings) -> Check:
    """Its release, and that it neither forgets tickets when it is full nor when it is restarted.

    :raises ServiceUnavailable: it cannot be reached, or refuses the password.
    """
    try:
        with redis.Redis.from_url(
            settings.redis_url, socket_connect_timeout=TIMEOUT, socket_timeout=TIMEOUT, decode_responses=True
        ) as client:
            info = {section: client.info(section) for section in ("server", "memory", "persistence")}
    except redis.RedisError as error:
        # Only the kind of the error: the text of some repeats the address.
        raise ServiceUnavailable(f"Redis cannot be reached: {type(error).__name__}") from None
    except ValueError:
        raise ServiceUnavailable("redis_url: not a Redis URL; write redis://:password@host:port/0") from None
    said = info["server"]
    product = f"Valkey {said['valkey_version']}" if "valkey_version" in said else f"Redis {said['redis_version']}"
    faults = _faults(info["memory"], info["persistence"])
    found = [product, *(faults or ["noeviction, append-only file"])]
    level = Level.WARN if faults else Level.OK
    if "valkey_version" not in said and release(str(said["redis_version"])) < RECOMMENDED:
        found.append(f"in production use {'.'.join(map(str, RECOMMENDED))} or newer")
        if settings.home is None:  # the embedded one serves one machine, on loopback
            level = Level.WARN
    return Check("redis", level, "; ".join(found))


def _faults(memory: Info, persistence: Info) -> list[str]:
    faults = []
    if memory.get("maxmemory_policy") != "noeviction":
        faults.append(
            f"maxmemory-policy is {memory.get('maxmemory_policy')}: set noeviction, or tickets are lost when it is full"
        )
    if not persistence.get("aof_enabled"):
        faults.append("appendonly is no: set yes, or a restart loses the tickets, which the relay must publish again")
    return faults


def check_store(settings: Settings) -> Check:
    """Write a probe, read it back, delete it.

    :raises ServiceUnavailable: one of these failed.
    """
    folder = open_folder(settings.store)
    path, content = f"tmp/doctor-{uuid4().hex}", b"longshore doctor"
    folder.write(path, iter([content]))
    try:
        found = folder.read(path)
    except FileNotFoundError:
        raise ServiceUnavailable(f"store {folder.name}: what was written is not there") from None
    finally:
        folder.delete(path)
    if found != content:
        raise ServiceUnavailable(f"store {folder.name}: what was read is not what was written")
    return Check("store", Level.OK, f"{folder.name}: can be written and read")


def release(text: str) -> tuple[int, ...]:
    """``6.2.14`` as numbers, to be compared."""
    return tuple(int(part) for part in re.findall(r"\d+", text)[:3])
