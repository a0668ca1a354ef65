"""What schemathesis does not know of the gateway's API: msgpack."""

from __future__ import annotations

from typing import Any

import msgpack
import schemathesis


@schemathesis.serializer("application/msgpack")
def write_msgpack(context: schemathesis.SerializationContext, value: Any) -> bytes:
    """A body. What msgpack does not have, such as an integer of more than 64 bits, is sent as text."""
    packed: bytes = msgpack.packb(value, default=str)
    return packed


@schemathesis.deserializer("application/msgpack")
def read_msgpack(context: schemathesis.DeserializationContext, response: schemathesis.Response) -> Any:
    """The value of an answer."""
    return msgpack.unpackb(response.content)
