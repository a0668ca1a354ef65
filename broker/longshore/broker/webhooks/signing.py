"""Secrets and signatures, as Standard Webhooks 1.0 defines them."""

from __future__ import annotations

import base64
import hashlib
import hmac
import secrets
from collections.abc import Sequence
from typing import Final

PREFIX: Final = "whsec_"
#: Bytes of a new secret; 24 to 64 are allowed.
SECRET_BYTES: Final = 32


def make_secret() -> str:
    """A new secret, as the receiver of messages gets it."""
    return f"{PREFIX}{base64.b64encode(secrets.token_bytes(SECRET_BYTES)).decode()}"


def signed_headers(secrets: Sequence[str], id: str, timestamp: int, body: bytes) -> dict[str, str]:
    """The headers that prove to the receiver who has sent a message.

    :param secrets: all that are valid: each makes a signature, and the receiver accepts any.
    :param id: the same for every try.
    :param timestamp: of this try, in seconds since 1970.
    """
    signatures = [f"v1,{_sign(secret, id, timestamp, body)}" for secret in secrets]
    return {"webhook-id": id, "webhook-timestamp": str(timestamp), "webhook-signature": " ".join(signatures)}


def _sign(secret: str, id: str, timestamp: int, body: bytes) -> str:
    key = base64.b64decode(secret.removeprefix(PREFIX))
    digest = hmac.new(key, f"{id}.{timestamp}.".encode() + body, hashlib.sha256).digest()
    return base64.b64encode(digest).decode()
