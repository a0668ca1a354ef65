"""What errors of Redis are called."""

import socket

import pytest
import redis

from longshore.broker.redis_address import parse_redis_url
from longshore.broker.redis_errors import RedisUnavailable, redis_errors


@pytest.fixture
def closed_port() -> int:
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return int(found.getsockname()[1])


def test_a_redis_that_nobody_listens_for_is_named_by_the_error_of_the_network(closed_port: int) -> None:
    client = parse_redis_url(f"redis://127.0.0.1:{closed_port}").client()
    # The second try first looks for an idle connection, and finds none.
    for _ in range(2):
        with (
            pytest.raises(RedisUnavailable, match=r"^Redis cannot be reached: Connection(Refused)?Error$"),
            redis_errors(),
        ):
            client.ping()


def test_an_error_inside_an_error_of_redis_is_not_named() -> None:
    def look_for_a_connection() -> None:
        try:
            [].pop()
        except IndexError:
            raise redis.ConnectionError("connection refused")  # noqa: B904  # as redis-py does

    with pytest.raises(RedisUnavailable, match=r"^Redis cannot be reached: ConnectionError$"), redis_errors():
        look_for_a_connection()
