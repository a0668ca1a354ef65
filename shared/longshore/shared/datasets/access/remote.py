"""Opening URLs within the roots.

HTTP is guarded at each connection: a name is resolved and its addresses are checked before one of them is connected to,
and a redirect is followed only to the same server.
"""

from __future__ import annotations

import asyncio
import ipaddress
from typing import TYPE_CHECKING, Final
from urllib.parse import urlsplit

from longshore.shared.datasets.access.roots import DATA_ROOTS, data_roots
from longshore.shared.errors import DataError
from longshore.shared.network_addresses import METADATA, METADATA_NAMES

if TYPE_CHECKING:
    import aiohttp
    from fsspec import AbstractFileSystem

_HTTP: Final = ("http", "https")


def open_filesystem(uri: str, *, fresh: bool = False) -> tuple[AbstractFileSystem, str]:
    """The driver of a URL, and the path in it.

    :param fresh: with an instance of its own, which shares no cache. Default: false.
    :raises DataError: the URL is outside the roots.
    """
    import fsspec.core

    data_roots().check(uri, "read")
    check_host(urlsplit(uri.rpartition("::")[2]).hostname or "")
    guards = {scheme: {"get_client": _guarded_client} for scheme in _HTTP if f"{scheme}://" in uri}
    options: dict[str, object] = {"skip_instance_cache": True} if fresh else {}
    # For a URL with one driver the options are its own, else they are by driver.
    if "::" not in uri and guards:
        options |= {"get_client": _guarded_client}
    elif guards:
        options |= guards
    files, path = fsspec.core.url_to_fs(uri, **options)
    return files, str(path)


def check_host(host: str) -> None:
    """Check the host in a URL, if it is a number or a name that only clouds have.

    :raises DataError: it gives out credentials, or is on a private network that no root names.
    """
    if host.lower().rstrip(".") in METADATA_NAMES:
        raise DataError(f"cannot read from {host}: it gives out credentials of this machine")
    try:
        address = ipaddress.ip_address(host)
    except ValueError:
        return
    check_address(host, address)


def check_address(host: str, address: ipaddress.IPv4Address | ipaddress.IPv6Address) -> None:
    """Check an address that a host has been resolved to.

    :raises DataError: as :func:`check_host`.
    """
    if isinstance(address, ipaddress.IPv6Address) and address.ipv4_mapped is not None:
        address = address.ipv4_mapped
    if address.is_link_local or str(address) in METADATA or address.is_multicast:
        raise DataError(f"cannot read from {host}: {address} is link-local, where clouds give out credentials")
    roots = data_roots()
    private = not address.is_global
    if private and roots.urls is not None and not roots.names_host(host):
        raise DataError(
            f"cannot read from {host}: {address} is on a private network, and no URL in {DATA_ROOTS} names {host}"
        )


async def _guarded_client(**options: object) -> aiohttp.ClientSession:
    import aiohttp
    from aiohttp.abc import ResolveResult

    class GuardedConnector(aiohttp.TCPConnector):
        async def _resolve_host(self, host: str, port: int, traces: object = None) -> list[ResolveResult]:
            found: list[ResolveResult] = await super()._resolve_host(host, port, traces)  # type: ignore[arg-type]
            for each in found:
                check_address(host, ipaddress.ip_address(each["host"].partition("%")[0]))
            return found

    async def check_redirect(
        session: aiohttp.ClientSession, context: object, request: aiohttp.TraceRequestRedirectParams
    ) -> None:
        location = request.response.headers.get("Location") or request.response.headers.get("URI") or ""
        target = request.url.join(type(request.url)(location))
        if target.host != request.url.host and not (
            data_roots().urls is not None and data_roots().names_host(target.host or "")
        ):
            raise DataError(f"cannot read from {request.url.host}: it redirects to {target.host}; use that URL itself")
        if data_roots().urls is not None:
            data_roots().check(str(target), "read")

    trace = aiohttp.TraceConfig()
    trace.on_request_redirect.append(check_redirect)
    options.pop("loop", None)
    connector = GuardedConnector(loop=asyncio.get_running_loop())
    return aiohttp.ClientSession(connector=connector, trace_configs=[trace], **options)  # type: ignore[arg-type]
