"""A proxy between the tests and their Postgres."""

from __future__ import annotations

import socket
from collections.abc import Callable, Iterator
from dataclasses import replace

import pytest

from longshore.shared.ledger.ledger import Ledger
from longshore.shared.settings import Settings
from tests.integration.ledger.connections.addresses import through
from tests.integration.support import empty_tables
from tests.tcp_proxy import TcpProxy


@pytest.fixture(scope="session")
def free_port() -> Callable[[], int]:
    """Finds a port that is free."""

    def find() -> int:
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            return int(probe.getsockname()[1])

    return find


@pytest.fixture
def port(free_port: Callable[[], int]) -> int:
    """A port that is free."""
    return free_port()


@pytest.fixture
def proxy(services: Settings) -> Iterator[TcpProxy]:
    """Passes connections on to Postgres."""
    target = through(services.database_url)
    with TcpProxy(target.host, target.port) as proxy:
        yield proxy


@pytest.fixture
def proxied(services: Settings, proxy: TcpProxy) -> Settings:
    """The services, with Postgres behind the proxy; the tables are empty."""
    empty_tables(services.database_url)
    return replace(services, database_url=through(services.database_url, proxy.port).url)


@pytest.fixture
def proxied_ledger(proxied: Settings) -> Iterator[Ledger]:
    """A ledger behind the proxy."""
    with Ledger(proxied.database_url, "longshore tests") as ledger:
        yield ledger
