"""The forms of Redis' address, and what follows from each for redis-py and for kombu."""

from __future__ import annotations

import pytest
import redis
from kombu.utils.url import parse_url

from longshore.broker.app import make_app
from longshore.broker.redis_address import CONNECT_TIMEOUT_S, SOCKET_TIMEOUT_S, RedisAddress, parse_redis_url
from longshore.shared.errors import InvalidInput
from longshore.shared.settings import Settings


def settings(url: str) -> Settings:
    return Settings(redis_url=url, database_url="", store="", producer="tests")


def kombu_options(url: str) -> dict[str, object]:
    """What kombu connects with."""
    app = make_app(settings(url))
    with app.connection_for_write() as connection:
        transport = connection.get_transport_cls()(client=connection)
        channel = transport.Channel.__new__(transport.Channel)
        channel.connection = transport
        for name in channel.from_transport_options:
            if name in connection.transport_options:
                setattr(channel, name, connection.transport_options[name])
        channel._registered = False
        options: dict[str, object] = channel._connparams()
    app.close()
    return options


@pytest.mark.parametrize(
    ("url", "location", "db", "broker"),
    [
        ("redis://", "localhost:6379", 0, "redis://localhost:6379/0"),
        ("redis://:pass@h:1/3", "h:1", 3, "redis://:pass@h:1/3"),
        ("redis://u:p%40@h", "h:6379", 0, "redis://u:p%40@h:6379/0"),
        ("redis://[::1]:7/1", "::1:7", 1, "redis://[::1]:7/1"),
        ("rediss://h/2", "h:6379", 2, "rediss://h:6379/2"),
        ("unix:///run/redis.sock?db=4", "/run/redis.sock", 4, "redis+socket:///run/redis.sock?virtual_host=4"),
        ("redis+socket://:p@/run/r.sock", "/run/r.sock", 0, "redis+socket://:p@/run/r.sock?virtual_host=0"),
        (
            "sentinel://:p@a,b:2/main/5",
            "main at a:26379,b:2",
            5,
            "sentinel://:p@a:26379/5;sentinel://:p@b:2/5",
        ),
    ],
)
def test_an_address_is_read_and_passed_on(url: str, location: str, db: int, broker: str) -> None:
    address = parse_redis_url(url)
    assert (address.location, address.db, address.broker_url) == (location, db, broker)


@pytest.mark.parametrize(
    ("url", "words"),
    [
        ("http://h", "not an address"),
        ("h:6379", "not an address"),
        ("redis+cluster://h", "Redis Cluster is not supported"),
        ("redis://a:1,b:2/0", "Redis Cluster is not supported"),
        ("redis://h:port", "a port is no number"),
        ("redis://h/x", "the database is no number"),
        ("redis://h/0?colour=red", "unknown option 'colour'"),
        ("redis://h/0?prefix=a%20b", "prefix: write"),
        ("rediss://h/0?ssl_cert_reqs=maybe", "write required, or none"),
        ("sentinel://h:26379", "names no service"),
        ("unix://", "names no socket"),
    ],
)
def test_another_form_is_refused_with_the_remedy_and_without_the_address(url: str, words: str) -> None:
    with pytest.raises(InvalidInput, match=words) as caught:
        parse_redis_url(url.replace("://h", "://:hush@h"))
    assert "hush" not in str(caught.value)


def test_tls_verifies_on_both_sides_without_any_option() -> None:
    expected = {"ssl_cert_reqs": "required", "ssl_check_hostname": True}
    options = kombu_options("rediss://h")
    assert {key: options[key] for key in expected} == expected
    assert issubclass(options["connection_class"], redis.SSLConnection)  # type: ignore[arg-type]
    client = parse_redis_url("rediss://h").client()
    assert {key: client.connection_pool.connection_kwargs[key] for key in expected} == expected


def test_tls_options_reach_both_sides() -> None:
    url = "rediss://h?ssl_ca_certs=/ca.pem&ssl_certfile=/c.pem&ssl_keyfile=/k.pem&ssl_check_hostname=false"
    expected = {
        "ssl_ca_certs": "/ca.pem",
        "ssl_certfile": "/c.pem",
        "ssl_keyfile": "/k.pem",
        "ssl_check_hostname": False,
    }
    for options in (kombu_options(url), parse_redis_url(url).client().connection_pool.connection_kwargs):
        assert {key: options[key] for key in expected} == expected
    off = parse_redis_url("rediss://h?ssl_cert_reqs=none").tls
    assert off == {"ssl_cert_reqs": "none", "ssl_check_hostname": False}


@pytest.mark.parametrize("url", ["redis://h", "rediss://h", "unix:///r.sock"])
def test_every_wait_has_a_limit(url: str) -> None:
    for options in (kombu_options(url), parse_redis_url(url).client().connection_pool.connection_kwargs):
        assert options["socket_timeout"] == SOCKET_TIMEOUT_S
        if not url.startswith("unix"):
            assert options["socket_connect_timeout"] == CONNECT_TIMEOUT_S
            assert options["socket_keepalive"] is True


def test_kombu_gets_the_parts_that_the_client_gets() -> None:
    address = RedisAddress(scheme="redis", hosts=(("h", 1),), db=3, username="u/:@", password="p?#%", prefix="a:")
    parsed = parse_url(address.broker_url)
    assert (parsed["userid"], parsed["password"], parsed["virtual_host"]) == ("u/:@", "p?#%", "3")
    assert address.transport_options["global_keyprefix"] == "a:"
