"""The URL of an endpoint, and the addresses to which its name leads.

A name is resolved here, every address is checked, and the connection is made to one of these addresses. So a name that
leads elsewhere a moment later changes nothing.
"""

from __future__ import annotations

import ipaddress
import socket
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final, TypeAlias
from urllib.parse import quote, urlsplit

from longshore.broker.webhooks.settings import HTTP_VARIABLE, NETWORKS_VARIABLE, WebhookSettings
from longshore.shared.errors import InvalidInput
from longshore.shared.network_addresses import METADATA_NAMES

MAX_URL_LENGTH: Final = 2048
#: Addresses of a name that are tried.
MAX_ADDRESSES: Final = 4

#: Returns the addresses of a name, as ``socket.getaddrinfo`` writes them.
LookUp: TypeAlias = Callable[[str, int], Sequence[str]]


class Refused(Exception):
    """The endpoint is at an address to which no connection may be made."""


@dataclass(frozen=True)
class Destination:
    """The parts of a URL."""

    tls: bool
    host: str
    port: int
    #: The path with the query.
    target: str

    @property
    def authority(self) -> str:
        """For the header ``Host``."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return host if self.port == (443 if self.tls else 80) else f"{host}:{self.port}"


def parse_url(url: str, settings: WebhookSettings, field: str = "url") -> Destination:
    """The parts of the URL of an endpoint.

    :param field: the argument that it comes from.
    :raises InvalidInput: no message can be sent there, or none may.
    """

    def refuse(reason: str) -> InvalidInput:
        return InvalidInput(field, f"{reason}; write a URL such as https://example.com/hooks")

    if len(url) > MAX_URL_LENGTH:
        raise refuse(f"longer than {MAX_URL_LENGTH:,} characters")
    if not url.isprintable() or " " in url:
        raise refuse("contains a space or a character that cannot be printed")
    try:
        parts = urlsplit(url)
        host, port = parts.hostname or "", parts.port
    except ValueError as error:
        raise refuse(str(error)) from None
    if parts.scheme not in ("https", "http"):
        raise refuse("does not begin with https://")
    if parts.scheme == "http" and not settings.http:
        raise refuse(f"begins with http://, which is only allowed where {HTTP_VARIABLE} is 1")
    if parts.username is not None or parts.password is not None:
        raise refuse("contains a user or a password; messages are signed instead")
    if parts.fragment:
        raise refuse("contains a fragment")
    tls = parts.scheme == "https"
    target = quote(parts.path or "/", safe="/%:@!$&'()*+,;=~") + (f"?{_query(parts.query)}" if parts.query else "")
    destination = Destination(tls, _ascii_host(host, refuse), port or (443 if tls else 80), target)
    _check_host(destination.host, settings, refuse)
    return destination


def resolve(destination: Destination, settings: WebhookSettings, look_up: LookUp) -> list[str]:
    """The addresses of a destination, each of which may be connected to.

    :raises Refused: one of them may not.
    :raises OSError: the name leads nowhere.
    """
    addresses = list(dict.fromkeys(look_up(destination.host, destination.port)))
    for text in addresses:
        if not settings.allows(ipaddress.ip_address(text.partition("%")[0])):
            raise Refused("the name leads to an address that is not public")
    return addresses[:MAX_ADDRESSES]


def look_up(host: str, port: int) -> Sequence[str]:
    """Ask the resolver of the operating system.

    :raises OSError: the name leads nowhere.
    """
    return [str(found[4][0]) for found in socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)]


def _query(query: str) -> str:
    return quote(query, safe="/%:@!$&'()*+,;=~?")


def _ascii_host(host: str, refuse: Callable[[str], InvalidInput]) -> str:
    try:
        ascii_host = host.encode("idna").decode() if not host.isascii() else host
    except UnicodeError:
        raise refuse(f"the host {host!r} is no name") from None
    if not ascii_host or len(ascii_host) > 253 or not all(each.isalnum() or each in "-._:%" for each in ascii_host):
        raise refuse("has no host" if not host else f"the host {host!r} is no name")
    return ascii_host


def _check_host(host: str, settings: WebhookSettings, refuse: Callable[[str], InvalidInput]) -> None:
    """Refuse at once what no connection could be made to; the addresses of names are checked at each connection."""
    try:
        allowed = settings.allows(ipaddress.ip_address(host.partition("%")[0]))
    except ValueError:
        name = host.lower().rstrip(".")
        is_local = name == "localhost" or name.endswith(".localhost")
        allowed = name not in METADATA_NAMES and (not is_local or bool(settings.networks))
    if not allowed:
        raise refuse(f"{host} is not public, and no network in {NETWORKS_VARIABLE} contains it")
