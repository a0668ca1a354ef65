"""Parses the subset of the protobuf wire format that ONNX files use.

https://protobuf.dev/programming-guides/encoding/
"""

from __future__ import annotations

from collections.abc import Iterator

#: Wire types: how the value of a field is encoded.
_VARINT, _FIXED64, _BYTES, _FIXED32 = 0, 1, 2, 5
#: Size in bytes of a fixed-size value, by wire type.
_SIZES = {_FIXED64: 8, _FIXED32: 4}
#: Bits of a varint.
_BITS = 64
#: A tag has 32 bits: a field's number and three for its wire type.
_TAG_LIMIT = 2**32

Value = int | memoryview


def fields(message: memoryview) -> Iterator[tuple[int, Value]]:
    """Number and value of each field, in file order: varints as int, everything else as bytes.

    :raises ValueError: it is not a protobuf message, or uses groups, which ONNX does not.
    """
    position = 0
    while position < len(message):
        tag, position = _varint(message, position)
        number, wire_type = tag >> 3, tag & 7
        if tag >= _TAG_LIMIT or number == 0:
            raise ValueError(f"no field can have the tag {tag}")
        if wire_type == _VARINT:
            value, position = _varint(message, position)
            yield number, value
            continue
        size, position = _size(message, position, wire_type)
        if size > len(message) - position:
            raise ValueError(f"it ends within field {number}")
        yield number, message[position : position + size]
        position += size


def _size(message: memoryview, position: int, wire_type: int) -> tuple[int, int]:
    """The size of the value in bytes, and the position at which it begins."""
    if wire_type == _BYTES:
        return _varint(message, position)
    if wire_type not in _SIZES:
        raise ValueError(f"wire type {wire_type} is not used by ONNX")
    return _SIZES[wire_type], position


def _varint(message: memoryview, position: int) -> tuple[int, int]:
    """The unsigned value at ``position``, and the position after it."""
    value = 0
    for shift in range(0, _BITS, 7):
        if position >= len(message):
            raise ValueError("it ends within a number")
        byte = message[position]
        position += 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            return value, position
    raise ValueError("a number has more than ten bytes")
