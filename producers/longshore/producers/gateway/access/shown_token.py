"""What a request shows as its token."""

from __future__ import annotations

from starlette.datastructures import Headers
from starlette.types import Scope


def shown_token(scope: Scope) -> str:
    """The token that a request shows, valid or not; empty if it shows none."""
    scheme, _, text = Headers(scope=scope).get("authorization", "").partition(" ")
    return text.strip() if scheme.lower() == "bearer" else ""
