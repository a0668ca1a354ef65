"""A message that is dropped, and reading JSON from a source that is not trusted."""

from __future__ import annotations

import json
import re
from base64 import b64decode

import msgpack

#: A message of ours is under 40 KiB: 512 shards, at 45 bytes each, in base64.
MAX_MESSAGE_BYTES = 256 * 1024
#: The characters of names that may appear in a log, and how many of them.
_SAFE_NAME = re.compile(r"[A-Za-z0-9_.:@/-]{1,64}")


class Malformed(Exception):
    """A message that is not one of ours.

    :param reason: the kind of fault, without anything from the message but a short name.
    """


def parse_object(raw: object) -> dict[str, object]:
    """Parse the JSON object of a message.

    :raises Malformed: it is too large, or no JSON object.
    """
    if not isinstance(raw, (bytes, str)):
        raise Malformed("not a string")
    if len(raw) > MAX_MESSAGE_BYTES:
        raise Malformed("too large")
    try:
        value = json.loads(raw)
    except (ValueError, RecursionError):
        raise Malformed("not JSON") from None
    return as_object(value, "not a JSON object")


def unpack(body: object) -> object:
    """Decode the body of a message: msgpack in base64.

    :raises Malformed: it cannot be decoded.
    """
    try:
        return msgpack.unpackb(b64decode(as_text(body, "no body"), validate=True))
    except Malformed:
        raise
    # msgpack raises errors of several kinds, of which some derive from Exception alone.
    except Exception:
        raise Malformed("the body cannot be decoded") from None


def as_object(value: object, reason: str) -> dict[str, object]:
    """:raises Malformed: ``value`` is not an object."""
    if not isinstance(value, dict):
        raise Malformed(reason)
    return value


def as_text(value: object, reason: str) -> str:
    """:raises Malformed: ``value`` is not a string."""
    if not isinstance(value, str):
        raise Malformed(reason)
    return value


def safe_name(value: object) -> str | None:
    """``value`` if it is a short name of plain characters, which may be logged."""
    return value if isinstance(value, str) and _SAFE_NAME.fullmatch(value) else None
