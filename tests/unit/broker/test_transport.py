"""Every connection of the app goes over the transport that checks messages, in a pool or not."""

from __future__ import annotations

import pytest

from longshore.broker.app import make_app
from longshore.broker.transport import SentinelTransport, Transport
from longshore.shared.settings import Settings


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        ("redis://:secret@nowhere.invalid:6379/0", Transport),
        ("sentinel://:secret@nowhere.invalid:26379/main/0", SentinelTransport),
    ],
)
def test_connections_go_over_our_transport(url: str, expected: type) -> None:
    app = make_app(
        Settings(redis_url=url, database_url="postgresql://nowhere.invalid/x", store="file:///x", producer="x")
    )
    connections = [app.connection_for_read(), app.connection_for_write(), app.pool.acquire()]
    try:
        # Of a pool of producers, the one of connections below it.
        connections.append(app.producer_pool.connections.acquire())
        for connection in connections:
            assert type(connection.transport) is expected
    finally:
        app.close()
