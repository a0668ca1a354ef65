"""The files that callers may name.

A gateway and its workers can read and write files that its callers cannot. So an address counts only below one of those
that the operator has set, whoever calls.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Final
from urllib.parse import urlsplit

from longshore.producers.data import Data, GenerateData
from longshore.producers.planning.language.prompt_data import address_of
from longshore.producers.requests import Generate, Request
from longshore.shared.errors import InvalidInput

VARIABLE: Final = "LONGSHORE_GATEWAY_DATA"
#: Options whose value is an address.
_OPTIONS: Final = ("output",)
#: Control characters, ``..`` in any writing, and slashes that stand for no folder.
_UNSAFE: Final = re.compile(r"[\x00-\x1f\x7f\\]|(^|[/\s])(\.|%2e){1,2}(/|$)|[^:/]//|%2f|%5c", re.IGNORECASE)


def check_addresses(request: Request, allowed: Sequence[str]) -> None:
    """Check the addresses that a request names.

    :param allowed: the folders and prefixes that callers may use.
    :raises InvalidInput: one is elsewhere; whether there is anything is not said.
    """
    data: Data | GenerateData | None = request.data
    if isinstance(request, Generate):
        data = address_of(request.data, request.options.get("format"))
    check_data(data, request.options, allowed)


def check_data(data: Data | GenerateData | None, options: Mapping[str, object], allowed: Sequence[str]) -> None:
    """As :func:`check_addresses`, for data and options alone. A text is an address."""
    if isinstance(data, str):
        check_address("data", data, allowed)
    for name in _OPTIONS:
        if isinstance(address := options.get(name), str):
            check_address(f"options.{name}", address, allowed)


def check_address(field: str, address: str, allowed: Sequence[str]) -> None:
    """:raises InvalidInput: an address is below none of those that are allowed."""
    place, folders = normal_address(address), [normal_address(each) for each in allowed]
    if place is None or not any(f"{place}/".startswith(f"{folder}/") for folder in folders):
        where = f"callers may name files below {', '.join(allowed)} only" if allowed else "callers may name no files"
        raise InvalidInput(field, f"{where}; send rows, or have the operator add to {VARIABLE} of the gateway")


def normal_address(address: str) -> str | None:
    """An address in its one form, without a slash at its end.

    :returns: ``None`` for one that can mean several: it depends on the working folder, or goes up.
    """
    if _UNSAFE.search(address):
        return None
    parts = urlsplit(address)
    if not parts.scheme:
        return f"file://{address}".rstrip("/") if address.startswith("/") else None
    if parts.scheme == "file":
        is_plain = address.startswith("file:///") and not parts.query and not parts.fragment and "%" not in address
        return address.rstrip("/") if is_plain else None
    return address.rstrip("/")
