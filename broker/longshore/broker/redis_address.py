"""The address of Redis, and everything that connects to it: clients of redis-py, and Celery by way of kombu.

    redis://[user:password@]host[:port][/db]
    rediss://...                                        TLS; the certificate is verified
    unix:///path[?db=1], redis+socket:///path           a socket of this machine
    sentinel://[user:password@]host[:port],host.../service[/db]
    sentinels://...                                     TLS to the Sentinels and to Redis

Options are in the query: ``prefix`` (before every key, so that clusters can share a database), ``ssl_ca_certs``,
``ssl_certfile``, ``ssl_keyfile``, ``ssl_cert_reqs``, ``ssl_check_hostname``, and for Sentinel ``sentinel_username`` and
``sentinel_password``.

Every wait has a limit, and nothing is repeated in secret: the relay publishes what could not be published.
"""

from __future__ import annotations

import re
import socket
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final
from urllib.parse import parse_qsl, quote, unquote, urlsplit

from longshore.shared.errors import InvalidInput

if TYPE_CHECKING:
    from redis import Redis
    from redis.asyncio import Redis as AsyncRedis

#: Seconds to connect to Redis. If Redis is down, a submit call returns only after this time: keep it short.
CONNECT_TIMEOUT_S: Final = 2.0
#: Seconds to wait for an answer. A stalled Redis, or a connection whose other end is gone, costs a call so long.
SOCKET_TIMEOUT_S: Final = 3.0
#: A connection that was idle for so many seconds is checked before it is used; and a worker that waits for messages
#: notices about three times as long after that its connection is gone.
HEALTH_CHECK_INTERVAL_S: Final = 1
#: Seconds of silence before TCP asks the other end, between two questions, and how many may stay unanswered.
_KEEPALIVE = {"TCP_KEEPIDLE": 15, "TCP_KEEPINTVL": 5, "TCP_KEEPCNT": 3}
#: By the system's number of the option; a system may lack some.
KEEPALIVE_OPTIONS: Final = {
    int(getattr(socket, name)): value for name, value in _KEEPALIVE.items() if hasattr(socket, name)
}

_FIELD = "redis_url"
_FORM = "write redis://:password@host:6379/0, rediss://, unix:///path or sentinel://host:26379,host:26379/service"
_PORTS = {"redis": 6379, "rediss": 6379, "sentinel": 26379, "sentinels": 26379}
_SOCKETS = ("unix", "redis+socket")
_TLS = ("rediss", "sentinels")
_TLS_OPTIONS = ("ssl_ca_certs", "ssl_certfile", "ssl_keyfile", "ssl_cert_reqs", "ssl_check_hostname")
_OPTIONS = ("prefix", "db", "virtual_host", "sentinel_username", "sentinel_password", *_TLS_OPTIONS)
_PREFIX = re.compile(r"[A-Za-z0-9_.:-]{1,64}")


@dataclass(frozen=True, kw_only=True)
class RedisAddress:
    """Where Redis is. ``repr`` shows no passwords."""

    #: ``redis``, ``rediss``, ``unix``, ``sentinel`` or ``sentinels``.
    scheme: str
    #: Hosts and ports; several only with Sentinel, none with a socket.
    hosts: tuple[tuple[str, int], ...] = ()
    #: The path of a socket.
    path: str = ""
    #: The name that the Sentinels know.
    service: str = ""
    db: int = 0
    username: str | None = None
    password: str | None = field(default=None, repr=False)
    sentinel_username: str | None = None
    sentinel_password: str | None = field(default=None, repr=False)
    #: Options of redis-py for TLS; ``None`` without TLS.
    tls: dict[str, str | bool] | None = None
    #: Before every key and every channel.
    prefix: str = ""

    @property
    def location(self) -> str:
        """The address for messages: without user, password and options."""
        if self.path:
            return self.path
        hosts = ",".join(f"{host}:{port}" for host, port in self.hosts)
        return f"{self.service} at {hosts}" if self.service else hosts

    @property
    def broker_url(self) -> str:
        """The URL in the form of kombu."""
        login = ""
        if self.username or self.password:
            login = f"{quote(self.username or '', safe='')}:{quote(self.password or '', safe='')}@"
        if self.path:
            return f"redis+socket://{login}{self.path}?virtual_host={self.db}"
        scheme = "sentinel" if self.service else self.scheme
        return ";".join(f"{scheme}://{login}{_bracketed(host)}:{port}/{self.db}" for host, port in self.hosts)

    @property
    def transport_options(self) -> dict[str, object]:
        """The options of kombu's transport that follow from the address."""
        options = _limits()
        if self.prefix:
            options["global_keyprefix"] = self.prefix
        if self.service:
            options.update(master_name=self.service, sentinel_kwargs=self._sentinel_options())
        return options

    def client(self, *, decode_responses: bool = False) -> Redis:
        """A client of redis-py. It connects when it is first used, and adds no prefix to keys."""
        from redis import Redis
        from redis.backoff import NoBackoff
        from redis.retry import Retry
        from redis.sentinel import Sentinel

        from longshore.broker.idle_connections import register

        # redis-py 8 would try three more times, with pauses of up to ten seconds.
        options = {**self._client_options(), "decode_responses": decode_responses, "retry": Retry(NoBackoff(), 0)}
        if self.service:
            sentinel = Sentinel(list(self.hosts), sentinel_kwargs=self._sentinel_options(), **options)  # type: ignore[no-untyped-call]
            client: Redis = sentinel.master_for(self.service)  # type: ignore[no-untyped-call]
        else:
            client = Redis(**self._location_options(), **options)  # type: ignore[arg-type]
        register(client.connection_pool)
        return client

    def async_client(self) -> AsyncRedis:
        """Like :meth:`client`, for asyncio."""
        from redis.asyncio import Redis
        from redis.asyncio.retry import Retry
        from redis.asyncio.sentinel import Sentinel
        from redis.backoff import NoBackoff

        options = {**self._client_options(), "retry": Retry(NoBackoff(), 0)}
        if self.service:
            sentinel = Sentinel(list(self.hosts), sentinel_kwargs=self._sentinel_options(), **options)  # type: ignore[no-untyped-call]
            master: AsyncRedis = sentinel.master_for(self.service)
            return master
        return Redis(**self._location_options(), **options)  # type: ignore[arg-type]

    def _client_options(self) -> dict[str, object]:
        options: dict[str, object] = {**_limits(), "db": self.db, "username": self.username, "password": self.password}
        if self.path:
            for key in ("socket_connect_timeout", "socket_keepalive", "socket_keepalive_options"):
                del options[key]
        if self.tls is not None:
            options.update(self.tls, ssl=True)
        return options

    def _location_options(self) -> dict[str, object]:
        if self.path:
            return {"unix_socket_path": self.path}
        [(host, port)] = self.hosts
        return {"host": host, "port": port}

    def _sentinel_options(self) -> dict[str, object]:
        """How to connect to the Sentinels."""
        options: dict[str, object] = {
            "socket_timeout": CONNECT_TIMEOUT_S,
            "socket_connect_timeout": CONNECT_TIMEOUT_S,
        }
        if self.sentinel_password:
            options.update(username=self.sentinel_username, password=self.sentinel_password)
        if self.tls is not None:
            options.update(self.tls, ssl=True)
        return options


def parse_redis_url(url: str) -> RedisAddress:
    """Read the address of Redis.

    :raises InvalidInput: it has another form; the message contains neither the address nor a password.
    """
    scheme, mark, rest = url.partition("://")
    if not mark or scheme not in (*_PORTS, *_SOCKETS):
        if scheme == "redis+cluster":
            raise InvalidInput(_FIELD, "Redis Cluster is not supported; use one Redis, or Redis with Sentinel")
        raise InvalidInput(_FIELD, f"not an address of Redis; {_FORM}")
    try:
        parts = urlsplit(f"redis://{rest}")
        query = dict(parse_qsl(parts.query, keep_blank_values=True, strict_parsing=bool(parts.query)))
    except ValueError:
        raise InvalidInput(_FIELD, f"not an address of Redis; {_FORM}") from None
    unknown = next((key for key in query if key not in _OPTIONS), None)
    if unknown is not None:
        raise InvalidInput(_FIELD, f"unknown option {unknown[:40]!r}; the options are {', '.join(_OPTIONS)}")
    login, _, hosts = parts.netloc.rpartition("@")
    username, _, password = login.partition(":")
    prefix = query.get("prefix", "")
    check_prefix(f"{_FIELD}: prefix", prefix)
    path = unquote(parts.path)
    is_socket = scheme in _SOCKETS
    service, db = "", path.strip("/")
    if is_socket:
        db = query.get("db", query.get("virtual_host", ""))
    elif scheme in ("sentinel", "sentinels"):
        service, _, db = path.strip("/").partition("/")
        if not service:
            raise InvalidInput(_FIELD, "names no service; write sentinel://host:26379,host:26379/service")
    elif "," in hosts:
        raise InvalidInput(_FIELD, "names several hosts: Redis Cluster is not supported; use one host, or sentinel://")
    if is_socket and not path.strip("/"):
        raise InvalidInput(_FIELD, "names no socket; write unix:///path/to/redis.sock")
    return RedisAddress(
        scheme="unix" if is_socket else scheme,
        hosts=() if is_socket else tuple(_host(item, _PORTS[scheme]) for item in hosts.split(",")),
        path=path if is_socket else "",
        service=service,
        db=_number(query.get("db", db) or db),
        username=unquote(username) or None,
        password=unquote(password) or None,
        sentinel_username=query.get("sentinel_username") or None,
        sentinel_password=query.get("sentinel_password") or None,
        tls=_tls(query) if scheme in _TLS else None,
        prefix=prefix,
    )


def check_prefix(field: str, prefix: str) -> None:
    """:raises InvalidInput: ``prefix`` cannot be that of the keys of a cluster."""
    if prefix and not _PREFIX.fullmatch(prefix):
        raise InvalidInput(field, "write up to 64 letters, digits and _ . : -")


def _limits() -> dict[str, object]:
    """Explicit, as the defaults of redis-py's releases differ: up to 6.4 there are none."""
    return {
        "socket_timeout": SOCKET_TIMEOUT_S,
        "socket_connect_timeout": CONNECT_TIMEOUT_S,
        "socket_keepalive": True,
        "socket_keepalive_options": KEEPALIVE_OPTIONS,
        "health_check_interval": HEALTH_CHECK_INTERVAL_S,
    }


def _tls(query: dict[str, str]) -> dict[str, str | bool]:
    """The options of redis-py: all that matter for security, as the defaults of its releases differ."""
    required = query.get("ssl_cert_reqs", "required").lower().removeprefix("cert_")
    if required not in ("required", "none"):
        raise InvalidInput(_FIELD, f"ssl_cert_reqs={required[:20]!r}: write required, or none to verify nothing")
    verify = required == "required"
    options: dict[str, str | bool] = {
        "ssl_cert_reqs": required,
        "ssl_check_hostname": verify and query.get("ssl_check_hostname", "true").lower() not in ("false", "0", "no"),
    }
    options.update({key: query[key] for key in _TLS_OPTIONS[:3] if query.get(key)})
    return options


def _host(text: str, default_port: int) -> tuple[str, int]:
    try:
        parts = urlsplit(f"redis://{text}")
        return parts.hostname or "localhost", parts.port or default_port
    except ValueError:
        raise InvalidInput(_FIELD, f"a port is no number; {_FORM}") from None


def _number(text: str) -> int:
    if not text:
        return 0
    if not text.isdecimal() or len(text) > 6:
        raise InvalidInput(_FIELD, "the database is no number; write redis://host:6379/0")
    return int(text)


def _bracketed(host: str) -> str:
    return f"[{host}]" if ":" in host else host
