"""The files that callers may name.

A gateway and its workers can read and write files that its callers cannot. So an address counts only below one of those
that the operator has set, whoever calls.
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from typing import Final

from longshore.producers.data import Data, GenerateData
from longshore.producers.planning.language.prompt_data import address_of
from longshore.producers.requests import Generate, Request
from longshore.shared.datasets.access.roots import DataRoots
from longshore.shared.errors import DataError, InvalidInput

VARIABLE: Final = "LONGSHORE_GATEWAY_DATA"
#: Options whose value is an address.
_OPTIONS: Final = ("output", "validation", "test")


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
    urls = tuple(each for each in allowed if "://" in each)
    folders = tuple(os.path.realpath(each) for each in allowed if "://" not in each)
    try:
        # As the workers check their own limits, which hold besides these.
        DataRoots(folders, urls).check(_local(address), "read")
    except DataError:
        where = f"callers may name files below {', '.join(allowed)} only" if allowed else "callers may name no files"
        raise InvalidInput(
            field, f"{where}; send rows, or have the operator add to {VARIABLE} of the gateway"
        ) from None


def _local(address: str) -> str:
    return address.removeprefix("file://") if address.startswith("file:///") else address
