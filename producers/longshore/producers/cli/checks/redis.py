"""Check of Redis."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Final

from redis.exceptions import NoPermissionError

from longshore.broker.redis_address import RedisAddress, parse_redis_url
from longshore.broker.redis_errors import redis_errors
from longshore.broker.sharing import OtherCluster
from longshore.producers.cli.checks.check import Check, Level
from longshore.producers.cli.connect import open_ledger
from longshore.shared.errors import ServiceUnavailable
from longshore.shared.settings import Settings

Info = Mapping[str, object]

#: Older releases have known vulnerabilities.
MIN_REDIS_RELEASE: Final = (6, 2, 20)
#: The share of ``maxmemory`` that may be used.
MAX_MEMORY_SHARE: Final = 0.9
_NAME: Final = "redis"


def check_redis(settings: Settings) -> Check:
    """Check the release and the state of Redis, and that it does not lose tickets when it is full or restarts.

    :raises ServiceUnavailable: Redis cannot be reached, or refuses the password.
    :raises InvalidInput: the address has another form.
    """
    address = parse_redis_url(settings.redis_url)
    with redis_errors(), address.client(decode_responses=True) as client:
        client.ping()
        try:
            info: Info = client.info("all")
        except NoPermissionError:
            return Check(_NAME, Level.OK, f"{address.location}: reachable; this user may not ask for its state")
    if info.get("cluster_enabled"):
        return Check(_NAME, Level.FAIL, "this is a Redis Cluster, which is not supported: use one Redis, or Sentinel")
    if info.get("role") != "master":
        return Check(_NAME, Level.FAIL, "this is a read-only replica: give the address of its master, or of Sentinels")
    if other := _other_cluster(settings, address):
        return Check(_NAME, Level.FAIL, other)
    product = f"Valkey {info['valkey_version']}" if "valkey_version" in info else f"Redis {info['redis_version']}"
    problems = [*_state_problems(info), *_configuration_problems(info), *_address_problems(address)]
    details = [product, *(problems or ["noeviction, append-only file"])]
    level = Level.WARN if problems else Level.OK
    if "valkey_version" not in info and parse_release(str(info["redis_version"])) < MIN_REDIS_RELEASE:
        details.append(f"has known vulnerabilities; use {'.'.join(map(str, MIN_REDIS_RELEASE))} or newer")
        level = Level.WARN
    return Check(_NAME, level, "; ".join(details))


def parse_release(text: str) -> tuple[int, ...]:
    """A version such as ``6.2.14`` as a tuple of numbers that can be compared."""
    return tuple(int(part) for part in re.findall(r"\d+", text)[:3])


def _other_cluster(settings: Settings, address: RedisAddress) -> str | None:
    try:
        with open_ledger(settings) as ledger:
            identity = ledger.queries.identity()
    except ServiceUnavailable:
        return None  # the check of Postgres reports it
    return None if identity is None else OtherCluster(address, identity).find()


def _state_problems(info: Info) -> list[str]:
    problems = []
    used, limit = info.get("used_memory"), info.get("maxmemory")
    if isinstance(used, int) and isinstance(limit, int) and limit and used > MAX_MEMORY_SHARE * limit:
        problems.append(f"{used / limit:.0%} of maxmemory are used: when it is full, nothing can be published")
    if "err" in (info.get("aof_last_write_status"), info.get("aof_last_bgrewrite_status")):
        problems.append("it cannot write its append-only file: look at its log and the space on its disk")
    if info.get("rdb_last_bgsave_status") == "err":
        problems.append("it cannot save its snapshot: look at its log and the space on its disk")
    return problems


def _configuration_problems(info: Info) -> list[str]:
    problems = []
    if info.get("maxmemory_policy") != "noeviction":
        policy = info.get("maxmemory_policy")
        problems.append(f"maxmemory-policy is {policy}: set noeviction, or tickets are lost when memory is full")
    if not info.get("aof_enabled"):
        problems.append("appendonly is no: set yes, or a restart loses tickets until the relay publishes them again")
    return problems


def _address_problems(address: RedisAddress) -> list[str]:
    if address.tls is not None and address.tls["ssl_cert_reqs"] == "none":
        return ["ssl_cert_reqs=none: its certificate is not verified, so anybody on the way can take its place"]
    return []
