"""What an error of Redis means, in words for users, without addresses or passwords."""

from __future__ import annotations

import ssl
from collections.abc import Iterator
from contextlib import contextmanager

from kombu.exceptions import BatchPublishError, OperationalError
from redis import exceptions
from redis.sentinel import MasterNotFoundError

from longshore.broker.idle_connections import close_idle
from longshore.shared.errors import ServiceUnavailable
from longshore.shared.outages import causes

#: What to do about an error, by its class. The first that fits counts.
_BY_CLASS: tuple[tuple[type[BaseException], str], ...] = (
    (exceptions.ReadOnlyError, "Redis is read-only: it is a replica, or a failover is under way"),
    (exceptions.OutOfMemoryError, "the memory of Redis is full (maxmemory): remove other data, or raise maxmemory"),
    (exceptions.BusyLoadingError, "Redis is loading its data"),
    (exceptions.AuthenticationError, "Redis refuses the login: a wrong user or password, or none"),
    (MasterNotFoundError, "no Sentinel knows a reachable master of this name"),
    (exceptions.MovedError, "this is a Redis Cluster, which is not supported: use one Redis, or Sentinel"),
    (exceptions.ClusterDownError, "this is a Redis Cluster, which is not supported: use one Redis, or Sentinel"),
    (ssl.SSLCertVerificationError, "the certificate of Redis is not valid here: set ssl_ca_certs to its authority"),
    (exceptions.TimeoutError, "Redis does not answer"),
    (TimeoutError, "Redis does not answer"),
)
_BY_TEXT: tuple[tuple[str, str], ...] = (
    ("MISCONF", "Redis refuses writes, because it cannot save its data to disk (MISCONF)"),
    ("OOM ", "the memory of Redis is full (maxmemory): remove other data, or raise maxmemory"),
    ("READONLY", "Redis is read-only: it is a replica, or a failover is under way"),
    ("WRONGTYPE", "a key of Longshore holds a value of another type"),
    ("CERTIFICATE_VERIFY_FAILED", "the certificate of Redis is not valid here: set ssl_ca_certs to its authority"),
    ("MASTERDOWN", "the replica has lost its master"),
    ("is not allowed in cluster mode", "this is a Redis Cluster, which is not supported: use one Redis"),
)
#: Characters of an error of Redis that are repeated.
_MAX_CHARS = 160


def describe(error: BaseException) -> str:
    """One line that says what is wrong with Redis."""
    errors = list(causes(error))
    for cause in errors:
        if _is_refusal(cause):
            # Redis names the command or the key, and no more.
            return f"the Redis user has not the rights that `longshore redis-acl` prints: {str(cause)[:_MAX_CHARS]}"
    for kind, text in _BY_CLASS:
        if any(isinstance(cause, kind) for cause in errors):
            return text
    for start, text in _BY_TEXT:
        if any(start in str(cause) for cause in errors):
            return text
    # What a library was about when it failed, such as looking for an idle connection, says nothing to users.
    of_redis = [each for each in errors if isinstance(each, exceptions.RedisError | OSError)] or errors
    return f"Redis cannot be reached: {type(of_redis[-1]).__name__}"


def is_wrong_type(error: BaseException) -> bool:
    """Whether a key had a value of another type."""
    return any("WRONGTYPE" in str(cause) for cause in causes(error))


def lacks_rights(error: BaseException) -> bool:
    """Whether Redis knows the user, and does not let it do what was asked for."""
    return any(map(_is_refusal, causes(error)))


class RedisUnavailable(ServiceUnavailable):
    """Redis cannot be reached, or refuses what is asked of it."""


@contextmanager
def redis_errors() -> Iterator[None]:
    """:raises RedisUnavailable: Redis cannot be reached, or refuses what is asked of it."""
    try:
        yield
    except (BatchPublishError, OperationalError, exceptions.RedisError, OSError) as error:
        if any(isinstance(cause, exceptions.TimeoutError | TimeoutError) for cause in causes(error)):
            close_idle()
        raise RedisUnavailable(describe(error)) from error


def _is_refusal(error: BaseException) -> bool:
    return isinstance(error, exceptions.NoPermissionError) or str(error).startswith("NOPERM")
