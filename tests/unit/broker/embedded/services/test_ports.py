from __future__ import annotations

import json
import socket
from pathlib import Path

import pytest

from longshore.broker.embedded.services.ports import Ports, any_free_port, check_numbers, choose_ports, is_free
from longshore.shared.errors import HomeError, InvalidInput


def test_the_last_ports_are_taken_again(tmp_path: Path) -> None:
    file = tmp_path / "ports.json"
    first = choose_ports(file, redis=None, postgres=None, flower=None, gateway=None)
    assert len({first.redis, first.postgres, first.flower, first.gateway}) == 4
    assert choose_ports(file, redis=None, postgres=None, flower=None, gateway=None) == first


def test_a_last_port_that_is_taken_is_replaced(tmp_path: Path) -> None:
    file = tmp_path / "ports.json"
    first = choose_ports(file, redis=None, postgres=None, flower=None, gateway=None)
    with socket.create_server(("127.0.0.1", first.redis)):
        second = choose_ports(file, redis=None, postgres=None, flower=None, gateway=None)
    assert second.redis not in (first.redis, first.postgres, first.flower, first.gateway)
    assert (second.postgres, second.flower, second.gateway) == (first.postgres, first.flower, first.gateway)


def test_a_given_port_goes_before_the_last_one_of_another_service(tmp_path: Path) -> None:
    file = tmp_path / "ports.json"
    first = choose_ports(file, redis=None, postgres=None, flower=None, gateway=None)
    second = choose_ports(file, redis=first.postgres, postgres=None, flower=None, gateway=None)
    assert second.redis == first.postgres
    assert second.postgres != first.postgres


@pytest.mark.parametrize("address", ["127.0.0.1", "0.0.0.0"])
def test_a_given_port_that_is_taken_is_named_with_its_option(tmp_path: Path, address: str) -> None:
    with socket.create_server((address, 0)) as taken:
        port = taken.getsockname()[1]
        assert not is_free(port)
        with pytest.raises(HomeError, match=rf"^--postgres-port: {port} is taken"):
            choose_ports(tmp_path / "ports.json", redis=None, postgres=port, flower=None, gateway=None)
    assert is_free(port)


@pytest.mark.parametrize("port", [0, -1, 65536])
def test_what_is_no_port_is_refused(port: int) -> None:
    with pytest.raises(InvalidInput, match=f"--flower-port: {port} is no port"):
        check_numbers(redis=None, postgres=None, flower=port, gateway=None)


def test_one_port_for_two_services_is_refused() -> None:
    check_numbers(redis=7000, postgres=7001, flower=None, gateway=None)
    with pytest.raises(InvalidInput, match="7000 is given twice"):
        check_numbers(redis=7000, postgres=7000, flower=None, gateway=None)


def test_the_ports_of_an_older_release_are_taken_again(tmp_path: Path) -> None:
    file = tmp_path / "ports.json"
    old = {"redis": any_free_port(), "postgres": any_free_port()}
    file.write_text(json.dumps(old))
    ports = choose_ports(file, redis=None, postgres=None, flower=None, gateway=None)
    assert {"redis": ports.redis, "postgres": ports.postgres} == old


def test_a_damaged_memory_of_ports_is_forgotten(tmp_path: Path) -> None:
    file = tmp_path / "ports.json"
    file.write_text('{"redis": ')
    port = any_free_port()
    assert choose_ports(file, redis=port, postgres=None, flower=None, gateway=None).redis == port
    assert Ports(**json.loads(file.read_text())).redis == port
