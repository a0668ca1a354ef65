"""The proxy itself: what tests of the network stand on."""

from __future__ import annotations

import socket
import socketserver
import threading
import time
from collections.abc import Iterator
from contextlib import closing, suppress

import pytest

from tests.tcp_proxy import TcpProxy


class _Echo(socketserver.BaseRequestHandler):
    def handle(self) -> None:
        with suppress(ConnectionError):
            while data := self.request.recv(1024):
                self.request.sendall(data)


@pytest.fixture
def proxy() -> Iterator[TcpProxy]:
    with socketserver.ThreadingTCPServer(("127.0.0.1", 0), _Echo) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        with TcpProxy("127.0.0.1", server.server_address[1]) as proxy:
            yield proxy
        server.shutdown()
        thread.join()


def connect(proxy: TcpProxy) -> closing[socket.socket]:
    connection = socket.create_connection(("127.0.0.1", proxy.port), timeout=30)
    assert ask(connection) == b"echo"
    return closing(connection)


def ask(connection: socket.socket, sent: bytes = b"echo") -> bytes:
    connection.sendall(sent)
    return connection.recv(1024)


def silent(connection: socket.socket) -> bool:
    connection.settimeout(0.05)
    try:
        connection.recv(1024)
    except TimeoutError:
        return True
    finally:
        connection.settimeout(30)
    return False


def test_cut(proxy: TcpProxy) -> None:
    with connect(proxy) as connection:
        assert proxy.cut() == 1
        with pytest.raises(ConnectionError):
            ask(connection)
    with connect(proxy):
        pass


def test_refusing(proxy: TcpProxy) -> None:
    with proxy.refusing():
        connection = socket.create_connection(("127.0.0.1", proxy.port), timeout=30)
        with closing(connection), suppress(ConnectionError):
            assert ask(connection) == b""
    with connect(proxy):
        pass


def test_stalled(proxy: TcpProxy) -> None:
    with connect(proxy) as connection:
        with proxy.stalled():
            connection.sendall(b"late")
            assert silent(connection)
        assert connection.recv(1024) == b"late"


def test_swallow(proxy: TcpProxy) -> None:
    with connect(proxy) as connection:
        assert proxy.swallow() == 1
        connection.sendall(b"lost")
        assert silent(connection)
        with connect(proxy):
            assert silent(connection)


def test_delayed(proxy: TcpProxy) -> None:
    with connect(proxy) as connection, proxy.delayed(0.05):
        start = time.monotonic()
        assert ask(connection) == b"echo"
        assert time.monotonic() >= start + 0.1


def test_losing_answers(proxy: TcpProxy) -> None:
    with connect(proxy) as connection, proxy.losing_answers(lambda sent: b"COMMIT" in sent):
        assert ask(connection, b"SELECT") == b"SELECT"
        connection.sendall(b"COMMIT")
        with pytest.raises(ConnectionError):
            connection.recv(1024)
