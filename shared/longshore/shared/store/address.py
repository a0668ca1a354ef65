"""How an address is shown: without what opens it."""

from __future__ import annotations

import re

#: ``user:password@`` of a URL. Also after ``::``, for a URL that goes through another one.
_USER = re.compile(r"(?<=://)[^/]*@")
#: Signed URLs carry their key in the query.
_QUERY = re.compile(r"\?.*", re.DOTALL)


def is_remote(address: str) -> bool:
    """Whether fsspec must open it; a plain path and ``file://`` are local."""
    scheme, mark, _ = address.partition("://")
    return "::" in scheme or (bool(mark) and scheme not in ("file", "local"))


def public(address: str) -> str:
    """``address`` for messages and logs: a URL without user, password and query."""
    return _QUERY.sub("", _USER.sub("", address)) if is_remote(address) else address


def without_secrets(text: str, address: str) -> str:
    """``text`` of a driver about ``address``, with what ``public`` leaves out of it blotted out."""
    if not is_remote(address):
        return text
    for secret in [*_USER.findall(address), *_QUERY.findall(address)]:
        for part in re.split(r"[:@?&=]", secret):
            text = text.replace(part, "***") if len(part) > 3 else text
    return text
