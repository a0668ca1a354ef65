"""Which addresses of a network are public, and at which a cloud gives out credentials."""

from __future__ import annotations

import ipaddress
from typing import Final, TypeAlias

Address: TypeAlias = ipaddress.IPv4Address | ipaddress.IPv6Address
Network: TypeAlias = ipaddress.IPv4Network | ipaddress.IPv6Network

#: Addresses at which clouds give out credentials, besides the link-local ones.
METADATA: Final = frozenset({"100.100.100.200", "192.0.0.192", "fd00:ec2::254"})
METADATA_NAMES: Final = frozenset({"metadata", "metadata.google.internal", "instance-data"})
#: The only IPv6 addresses that are given out for the internet.
_GLOBAL_UNICAST: Final = ipaddress.IPv6Network("2000::/3")
_NAT64: Final = ipaddress.IPv6Network("64:ff9b::/96")


def unwrapped(address: Address) -> Address:
    """The IPv4 address to which an IPv6 address leads: a mapped one, one of 6to4, or one of NAT64."""
    if isinstance(address, ipaddress.IPv4Address):
        return address
    if address in _NAT64:
        return ipaddress.IPv4Address(int(address) & 0xFFFF_FFFF)
    return address.ipv4_mapped or address.sixtofour or address


def gives_credentials(address: Address) -> bool:
    """Whether it is link-local, or one at which a cloud gives out credentials."""
    target = unwrapped(address)
    return target.is_link_local or str(target) in METADATA


def is_public(address: Address) -> bool:
    """Whether it is an address of one machine in the internet: not private, shared by a provider, or for many."""
    target = unwrapped(address)
    if isinstance(target, ipaddress.IPv6Address) and target not in _GLOBAL_UNICAST:
        return False
    return target.is_global and not target.is_multicast and not target.is_reserved and not gives_credentials(target)
