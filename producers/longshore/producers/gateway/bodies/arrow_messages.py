"""Looking into the messages of an Arrow IPC stream before Arrow reads them.

Compressed buffers of a few megabytes can be gigabytes when they are read, so callers may send none.
"""

from __future__ import annotations

import struct
from typing import Final

_MARK: Final = 0xFFFFFFFF
#: The numbers of the fields in the tables of the format (Message.fbs).
_HEADER_TYPE, _HEADER, _BODY_LENGTH = 1, 2, 3
_BATCH_OF_DICTIONARY: Final = 1
_COMPRESSION: Final = 3
_DICTIONARY, _RECORDS = 2, 3


def check_uncompressed(stream: bytes) -> None:
    """:raises ValueError: a batch has compressed buffers, or this is no stream."""
    position = 0
    try:
        while position < len(stream):
            mark, size = struct.unpack_from("<Ii", stream, position)
            if mark != _MARK or size < 0:
                raise ValueError("a message does not begin as one of a stream does")
            if size == 0:
                return
            start = position + 8
            message = stream[start : start + size]
            table = struct.unpack_from("<I", message)[0]
            _check_message(message, table)
            at = _field(message, table, _BODY_LENGTH)
            body = 0 if at is None else struct.unpack_from("<q", message, at)[0]
            if body < 0:
                raise ValueError("a message has no length")
            position = start + size + body
    except (struct.error, IndexError):
        raise ValueError("a message is cut") from None


def _check_message(message: bytes, table: int) -> None:
    at, header = _field(message, table, _HEADER_TYPE), _field(message, table, _HEADER)
    if at is None or header is None:
        return
    kind, batch = message[at], _table(message, header)
    if kind == _DICTIONARY:
        inner = _field(message, batch, _BATCH_OF_DICTIONARY)
        if inner is None:
            return
        batch = _table(message, inner)
    if kind in (_DICTIONARY, _RECORDS) and _field(message, batch, _COMPRESSION) is not None:
        raise ValueError("its buffers are compressed")


def _table(message: bytes, position: int) -> int:
    """The table that a field points at."""
    return position + int(struct.unpack_from("<I", message, position)[0])


def _field(message: bytes, table: int, number: int) -> int | None:
    """Where a field of a table is; ``None`` if the table lacks it."""
    fields = table - int(struct.unpack_from("<i", message, table)[0])
    size = struct.unpack_from("<H", message, fields)[0]
    if 4 + 2 * number >= size:
        return None
    offset = int(struct.unpack_from("<H", message, fields + 4 + 2 * number)[0])
    return table + offset if offset else None
