"""Taking the address of Postgres apart, and putting it together for another port."""

from __future__ import annotations

from dataclasses import dataclass
from urllib.parse import urlsplit


@dataclass(frozen=True)
class Place:
    """An address, and where it leads."""

    url: str
    host: str
    port: int


def through(url: str, port: int | None = None) -> Place:
    """The address with another port on loopback, as of a proxy."""
    parts = urlsplit(url)
    assert parts.hostname is not None
    assert parts.port is not None
    if port is not None:
        user = parts.netloc.rpartition("@")[0]
        parts = parts._replace(netloc=f"{user}@127.0.0.1:{port}")
    return Place(parts.geturl(), str(parts.hostname), int(parts.port or 0))
