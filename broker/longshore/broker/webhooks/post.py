"""Sending one message: one HTTP request, whose answer has to begin in time.

Redirects are not followed, and proxies of the environment are not used: either would lead past the check of addresses.
"""

from __future__ import annotations

import io
import socket
import ssl
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from http.client import HTTPConnection, HTTPException
from typing import Final, cast

from longshore.broker.webhooks.destination import Destination

#: Seconds that connecting to one of several addresses may take.
CONNECT_TIMEOUT_S: Final = 5.0
#: Bytes of an answer that are read: all of its headers, and what a short body has. The rest is cut off.
MAX_ANSWER_BYTES: Final = 16 << 10
#: Seconds that are left to the body of an answer, which nobody reads; cut off earlier, it would be an error there.
BODY_TIMEOUT_S: Final = 1.0


class Deadline:
    """The moment at which a request is given up, whatever the other end does until then.

    :param seconds: from now.
    """

    def __init__(self, seconds: float) -> None:
        self._end = time.monotonic() + seconds

    def left(self, at_most: float = float("inf")) -> float:
        """Seconds.

        :raises TimeoutError: none are left.
        """
        left = min(self._end - time.monotonic(), at_most)
        if left <= 0:
            raise TimeoutError("timed out")
        return left


def post(
    destination: Destination,
    addresses: Sequence[str],
    headers: Mapping[str, str],
    body: bytes,
    *,
    tls: ssl.SSLContext,
    deadline: Deadline,
) -> int:
    """Send a message, and return the status of the answer.

    :param addresses: of the destination, in the order in which they are tried; they were checked.
    :param tls: for ``https://``.
    :raises TimeoutError: the answer has not begun in time.
    :raises OSError: the connection could not be made, or was lost.
    :raises HTTPException: the answer is no HTTP.
    """
    connection = HTTPConnection(destination.host, destination.port)
    # Never by itself: it would resolve the name again.
    connection.auto_open = 0
    with _connect(destination, addresses, tls, deadline) as sock:
        limited = _LimitedSocket(sock, deadline)
        connection.sock = cast(socket.socket, limited)
        connection.putrequest("POST", destination.target, skip_host=True, skip_accept_encoding=True)
        for name, value in {"Host": destination.authority, "Connection": "close", **headers}.items():
            connection.putheader(name, value)
        connection.putheader("Content-Length", str(len(body)))
        connection.endheaders(body)
        with connection.getresponse() as response:
            limited.begin_body()
            with suppress(OSError, HTTPException):
                response.read(MAX_ANSWER_BYTES)
            return response.status


def _connect(
    destination: Destination, addresses: Sequence[str], tls: ssl.SSLContext, deadline: Deadline
) -> socket.socket:
    for number, address in enumerate(addresses):
        is_last = number == len(addresses) - 1
        try:
            timeout = deadline.left() if is_last else deadline.left(CONNECT_TIMEOUT_S)
            sock = socket.create_connection((address, destination.port), timeout)
            break
        except OSError:
            if is_last:
                raise
    else:
        raise OSError("the name has no address")
    if not destination.tls:
        return sock
    try:
        sock.settimeout(deadline.left())
        return tls.wrap_socket(sock, server_hostname=destination.host)
    except BaseException:
        sock.close()
        raise


class _LimitedSocket(io.RawIOBase):
    """A connection that is read up to a number of bytes, and to a moment: each read otherwise has the whole time."""

    def __init__(self, sock: socket.socket, deadline: Deadline) -> None:
        self._sock = sock
        self._deadline = deadline
        self._bytes_left = MAX_ANSWER_BYTES

    def begin_body(self) -> None:
        """From now on there is little time left."""
        self._deadline = Deadline(BODY_TIMEOUT_S)

    def sendall(self, data: bytes) -> None:
        self._sock.settimeout(self._deadline.left())
        self._sock.sendall(data)

    def makefile(self, mode: str) -> io.BufferedReader:
        return io.BufferedReader(self)

    def readable(self) -> bool:
        return True

    def close(self) -> None:
        """The connection is closed by who has made it: ``http.client`` closes it before it reads the body."""

    def readinto(self, buffer: bytearray | memoryview) -> int:  # type: ignore[override]
        if self._bytes_left <= 0:
            raise HTTPException(f"the answer has more than {MAX_ANSWER_BYTES:,} bytes")
        self._sock.settimeout(self._deadline.left())
        count = self._sock.recv_into(memoryview(buffer)[: self._bytes_left])
        self._bytes_left -= count
        return count
