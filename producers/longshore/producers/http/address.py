"""Where the gateway is, and the token for it."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final
from urllib.parse import urlsplit

from longshore.shared.errors import InvalidInput

URL: Final = "LONGSHORE_URL"
TOKEN: Final = "LONGSHORE_TOKEN"
TOKEN_FILE: Final = "LONGSHORE_TOKEN_FILE"
#: With it, a process reaches the cluster itself, and has no need for the gateway.
_DATABASE_URL: Final = "LONGSHORE_DATABASE_URL"
_VISIBLE: Final = re.compile(r"[\x21-\x7e]{1,512}")


@dataclass(frozen=True)
class GatewayAddress:
    """Where the gateway is, and the token for it, which ``repr`` does not show."""

    url: str
    token: str = field(repr=False)


def speaks_http(url: str | None, token: str | None, others: Mapping[str, str | os.PathLike[str] | None]) -> bool:
    """Whether a client speaks HTTP: it was given a URL, or has one from the environment and no other address.

    :param others: the other addresses that it was given, by argument.
    :raises InvalidInput: it was given both, or a token and no URL.
    """
    given = [name for name, value in others.items() if value is not None]
    if url is not None:
        if given:
            raise InvalidInput(given[0], "the gateway knows the addresses of its cluster; give either url or these")
        return True
    if not given and os.environ.get(URL) and not os.environ.get(_DATABASE_URL):
        return True
    if token is not None:
        raise InvalidInput("url", "not given, though token is; give the URL of the gateway")
    return False


@contextmanager
def needs_httpx() -> Iterator[None]:
    """Around the import of what speaks HTTP.

    :raises InvalidInput: the package for it is not installed.
    """
    try:
        yield
    except ModuleNotFoundError as error:
        if error.name != "httpx":
            raise
        raise InvalidInput("url", "httpx is not installed; run: pip install 'longshore[http]'") from None


def find_address(url: str | None, token: str | None, environ: Mapping[str, str] = os.environ) -> GatewayAddress:
    """The address from arguments, or else from the environment.

    :raises InvalidInput: the URL is not valid, or there is no token.
    """
    found = url or environ.get(URL, "")
    parts = urlsplit(found.strip())
    name = "url" if url else URL
    if parts.username is not None or parts.password is not None:
        raise InvalidInput(name, "it has a user or password; pass the token as `token`, and nothing secret in the URL")
    if parts.scheme not in ("http", "https") or not parts.hostname or parts.query or parts.fragment:
        raise InvalidInput(name, f"{found[:200]!r}: write the URL of a gateway, such as https://longshore.example.org")
    path = parts.path.rstrip("/").removesuffix("/v1")
    return GatewayAddress(f"{parts.scheme}://{parts.netloc}{path}", _find_token(token, environ))


def _find_token(token: str | None, environ: Mapping[str, str]) -> str:
    name, text = "token", token
    if text is None:
        name, text = TOKEN, environ.get(TOKEN) or None
    if text is None and (file := environ.get(TOKEN_FILE)):
        name = TOKEN_FILE
        try:
            text = Path(file).read_text()
        except (OSError, UnicodeDecodeError) as error:
            reason = error.strerror if isinstance(error, OSError) else "no text"
            raise InvalidInput(TOKEN_FILE, f"{file}: {reason}; name a file with the token") from None
    if text is None:
        raise InvalidInput("token", f"not given; pass it, or set {TOKEN} or {TOKEN_FILE}")
    if not _VISIBLE.fullmatch(text.strip()):
        raise InvalidInput(
            name, "no token of `longshore tokens create`: one is visible ASCII characters without spaces"
        )
    return text.strip()
