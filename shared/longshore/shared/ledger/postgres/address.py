"""The address of a database, with the limits that every connection has."""

from __future__ import annotations

from typing import Final

import psycopg
from psycopg.conninfo import conninfo_to_dict, make_conninfo

from longshore.shared.errors import InvalidInput

#: Seconds to connect to one host.
CONNECT_TIMEOUT_S: Final = 10
#: What every connection has unless its URL says otherwise. A peer that vanishes without a word is noticed after some 25
#: seconds if nothing is sent, and after ``tcp_user_timeout`` milliseconds if something is.
_DEFAULTS: Final[dict[str, str | int]] = {
    "connect_timeout": CONNECT_TIMEOUT_S,
    "keepalives": 1,
    "keepalives_idle": 10,
    "keepalives_interval": 5,
    "keepalives_count": 3,
    "tcp_user_timeout": 20_000,
    # Of several hosts, the one that takes writes; a standby alone is refused.
    "target_session_attrs": "primary",
}


class Address:
    """Where a database is.

    :param url: ``postgresql://user:password@host:port/name``, with several hosts separated by commas, or any other
        connection string of libpq. Names are looked up for each new connection.
    :param application: the name of its connections in Postgres.
    :raises InvalidInput: ``url`` is not such an address.
    """

    def __init__(self, url: str, application: str) -> None:
        try:
            parts = conninfo_to_dict(url)
        except psycopg.ProgrammingError:
            # The driver's message would repeat the URL, and with it a password.
            raise InvalidInput(
                "database_url", "not a Postgres URL; write postgresql://user:password@host:port/database"
            ) from None
        #: With the password; never shown.
        self.conninfo = make_conninfo("", **{**_DEFAULTS, **parts, "application_name": application})
        #: For messages, so without the password.
        self.name = _name(str(parts.get("host") or "localhost"), str(parts.get("port") or 5432))


def _name(hosts: str, ports: str) -> str:
    """``host:port`` for each host. One port stands for all of them."""
    names, numbers = hosts.split(","), ports.split(",")
    if len(numbers) != len(names):
        numbers = [numbers[0]] * len(names)
    return ",".join(f"{name}:{number}" for name, number in zip(names, numbers, strict=True))
