"""Addresses of files and stores, and how to display them without credentials."""

from __future__ import annotations

import re

#: ``user:password@`` in a URL. Also after ``::``, for chained fsspec URLs.
_USER = re.compile(r"(?<=://)[^/]*@")
#: Signed URLs carry their key in the query.
_QUERY = re.compile(r"\?.*", re.DOTALL)


def is_remote(address: str) -> bool:
    """Whether the address needs fsspec; a plain path, ``file://`` and ``local://`` are local."""
    scheme, mark, _ = address.partition("://")
    return "::" in scheme or (bool(mark) and scheme not in ("file", "local"))


def public(address: str) -> str:
    """The address for messages and logs: a URL without user, password and query."""
    return _QUERY.sub("", _USER.sub("", address)) if is_remote(address) else address


def without_secrets(text: str, address: str) -> str:
    """A driver's message about ``address``, with everything that :func:`public` omits replaced by ``***``."""
    if not is_remote(address):
        return text
    for secret in [*_USER.findall(address), *_QUERY.findall(address)]:
        for part in re.split(r"[:@?&=]", secret):
            text = text.replace(part, "***") if len(part) > 3 else text
    return text
