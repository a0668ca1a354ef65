"""A gateway beside the cluster of each module."""

from __future__ import annotations

from collections.abc import Iterator

import httpx
import pytest

from tests.integration.cluster import Cluster
from tests.integration.gateway_beside import RunningGateway, running_gateway


@pytest.fixture(scope="module")
def gateway(cluster: Cluster) -> Iterator[RunningGateway]:
    """A gateway of :func:`cluster`."""
    with running_gateway(cluster) as gateway:
        yield gateway


@pytest.fixture(scope="module")
def http(gateway: RunningGateway) -> Iterator[httpx.Client]:
    """A caller of it with all scopes, of the producer ``search-team``."""
    with gateway.http() as http:
        yield http
