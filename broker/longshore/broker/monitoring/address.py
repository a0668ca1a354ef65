"""Where a process serves its metrics: nowhere, unless ``LONGSHORE_METRICS_PORT`` is set.

The relay takes this port, and the workers of the machine take the ones after it, so that one value does for all.
"""

from __future__ import annotations

import importlib.util
import os
import re
import socket
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Final

from longshore.shared.errors import InvalidInput

PORT_VARIABLE: Final = "LONGSHORE_METRICS_PORT"
ADDRESS_VARIABLE: Final = "LONGSHORE_METRICS_ADDRESS"
#: Others on the network may not ask unless somebody decides so: there is no password.
DEFAULT_ADDRESS: Final = "127.0.0.1"
MAX_PORT: Final = 65535


@dataclass(frozen=True)
class MetricsAddress:
    """A TCP address."""

    host: str
    port: int

    @property
    def family(self) -> socket.AddressFamily:
        """That of the host, an IPv6 address if it has colons."""
        return socket.AF_INET6 if ":" in self.host else socket.AF_INET

    def of_worker(self, number: int) -> MetricsAddress:
        """The address of a worker of this machine, if this one is the relay's.

        :param number: that of the worker, from 0.
        :raises InvalidInput: there is no such port.
        """
        port = self.port + 1 + number
        if port > MAX_PORT:
            raise InvalidInput(
                PORT_VARIABLE, f"{self.port}: worker {number + 1} would take port {port}; write a lower number"
            )
        return replace(self, port=port)

    def refusal(self, error: OSError) -> InvalidInput:
        """What to say if it cannot be listened at."""
        return InvalidInput(
            PORT_VARIABLE,
            f"cannot listen on port {self.port} of {self.host}: {error.strerror or error}; stop what has the port, set "
            f"another one, or correct {ADDRESS_VARIABLE}",
        )

    def check_free(self) -> None:
        """:raises InvalidInput: another process listens there, or the host is not of this machine."""
        with socket.socket(self.family, socket.SOCK_STREAM) as probe:
            # As the server does: connections that a process before has left behind are no hindrance.
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind((self.host, self.port))
                probe.listen(1)
            except OSError as error:
                raise self.refusal(error) from None


def metrics_address(environ: Mapping[str, str] = os.environ) -> MetricsAddress | None:
    """Where to serve metrics; ``None`` for nowhere.

    :raises InvalidInput: the port is no number from 1 to 65535, or ``prometheus-client`` is not installed.
    """
    text = environ.get(PORT_VARIABLE, "")
    if not text:
        return None
    if not (re.fullmatch(r"[0-9]{1,5}", text) and 1 <= int(text) <= MAX_PORT):
        raise InvalidInput(PORT_VARIABLE, f"{text!r}: write a port, a number from 1 to {MAX_PORT}, or leave it out")
    if importlib.util.find_spec("prometheus_client") is None:
        raise InvalidInput(
            PORT_VARIABLE, "metrics need the package prometheus-client: pip install 'longshore[monitor]'"
        )
    return MetricsAddress(environ.get(ADDRESS_VARIABLE) or DEFAULT_ADDRESS, int(text))
