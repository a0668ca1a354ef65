"""The protobuf wire format, as far as ONNX files need it.

https://protobuf.dev/programming-guides/encoding/
"""

from __future__ import annotations

from collections.abc import Iterator

#: Wire types: how the value of a field is written.
_VARINT, _FIXED64, _BYTES, _FIXED32 = 0, 1, 2, 5
#: Bytes of a value of fixed size, by wire type.
_SIZES = {_FIXED64: 8, _FIXED32: 4}
#: Bits of a varint.
_BITS = 64
#: A tag has 32 bits: a field's number and three for its wire type.
_TAG_LIMIT = 2**32

Value = int | memoryview


def fields(message: memoryview) -> Iterator[tuple[int, Value]]:
    """Number and value of each field, in the order of the file: varints as int, everything else as its bytes.

    :raises ValueError: it is no protobuf message, or uses groups, which ONNX has none of.
    """
    place = 0
    while place < len(message):
        tag, place = _varint(message, place)
        number, wire_type = tag >> 3, tag & 7
        if tag >= _TAG_LIMIT or number == 0:
            raise ValueError(f"no field can have the tag {tag}")
        if wire_type == _VARINT:
            value, place = _varint(message, place)
            yield number, value
            continue
        size, place = _size(message, place, wire_type)
        if size > len(message) - place:
            raise ValueError(f"it ends within field {number}")
        yield number, message[place : place + size]
        place += size


def _size(message: memoryview, place: int, wire_type: int) -> tuple[int, int]:
    """Bytes of the value, and where it begins."""
    if wire_type == _BYTES:
        return _varint(message, place)
    if wire_type not in _SIZES:
        raise ValueError(f"wire type {wire_type} is not used by ONNX")
    return _SIZES[wire_type], place


def _varint(message: memoryview, place: int) -> tuple[int, int]:
    """The unsigned value at ``place``, and where what follows begins."""
    value = 0
    for shift in range(0, _BITS, 7):
        if place >= len(message):
            raise ValueError("it ends within a number")
        byte = message[place]
        place += 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            return value, place
    raise ValueError("a number has more than ten bytes")
