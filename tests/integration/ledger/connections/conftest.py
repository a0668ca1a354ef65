"""A proxy between the tests and their Postgres."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import pytest

from longshore.shared.ledger.ledger import Ledger
from longshore.shared.settings import Settings
from tests.integration.ledger.connections.addresses import through
from tests.integration.support import empty_tables
from tests.tcp_proxy import TcpProxy


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
