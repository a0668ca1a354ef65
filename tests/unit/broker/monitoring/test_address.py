"""Where metrics are served, and what is refused."""

from __future__ import annotations

import socket

import pytest

from longshore.broker.monitoring.address import MetricsAddress, metrics_address
from longshore.broker.monitoring.server import MetricsServer
from longshore.shared.errors import InvalidInput


def test_nothing_is_served_unless_a_port_is_set() -> None:
    assert metrics_address({}) is None
    assert metrics_address({"LONGSHORE_METRICS_PORT": ""}) is None
    assert metrics_address({"LONGSHORE_METRICS_ADDRESS": "0.0.0.0"}) is None


def test_only_this_machine_is_answered_unless_an_address_is_set() -> None:
    assert metrics_address({"LONGSHORE_METRICS_PORT": "9464"}) == MetricsAddress("127.0.0.1", 9464)
    environ = {"LONGSHORE_METRICS_PORT": "9464", "LONGSHORE_METRICS_ADDRESS": "::"}
    assert metrics_address(environ) == MetricsAddress("::", 9464)


@pytest.mark.parametrize("port", ["0", "-1", "65536", "http", "9464.5", " 9464", "٣", "9" * 50])
def test_what_is_no_port_is_refused(port: str) -> None:
    with pytest.raises(InvalidInput, match=r"LONGSHORE_METRICS_PORT: .*write a port"):
        metrics_address({"LONGSHORE_METRICS_PORT": port})


def test_the_workers_take_the_ports_after_the_relay() -> None:
    address = MetricsAddress("127.0.0.1", 65533)
    assert [address.of_worker(number).port for number in (0, 1)] == [65534, 65535]
    with pytest.raises(InvalidInput, match="worker 3 would take port 65536; write a lower number"):
        address.of_worker(2)


def test_a_taken_port_is_refused() -> None:
    with socket.create_server(("127.0.0.1", 0)) as other:
        address = MetricsAddress("127.0.0.1", other.getsockname()[1])
        with pytest.raises(InvalidInput, match=f"cannot listen on port {address.port} of 127.0.0.1: Address already"):
            address.check_free()
        with pytest.raises(InvalidInput, match="stop what has the port, set another one"):
            MetricsServer(address)


def test_an_address_of_another_machine_is_refused() -> None:
    with pytest.raises(InvalidInput, match="or correct LONGSHORE_METRICS_ADDRESS"):
        MetricsServer(MetricsAddress("192.0.2.1", 9464))
