"""Parses and writes the subset of the protobuf wire format that ONNX files use.

https://protobuf.dev/programming-guides/encoding/
"""

from __future__ import annotations

from collections.abc import Collection, Iterator

import numpy as np
import numpy.typing as npt

#: Wire types: how the value of a field is encoded.
_VARINT, _FIXED64, _BYTES, _FIXED32 = 0, 1, 2, 5
#: Size in bytes of a fixed-size value, by wire type.
_SIZES = {_FIXED64: 8, _FIXED32: 4}
#: Bits of a varint.
_BITS = 64
#: A tag has 32 bits: a field's number and three for its wire type.
_TAG_LIMIT = 2**32

#: Bytes that are searched at a time for the end of a list of numbers.
_RUN_BYTES = 1 << 16

Value = int | memoryview


def fields(message: memoryview, skip: Collection[int] = ()) -> Iterator[tuple[int, Value]]:
    """Number and value of each field, in file order: varints as int, everything else as bytes.

    :param skip: numbers of fields to leave out: lists of numbers, which can have millions of items. Default: none.
    :raises ValueError: it is not a protobuf message, or uses groups, which ONNX does not.
    """
    position = 0
    while position < len(message):
        start = position
        tag, position = _varint(message, position)
        number, wire_type = tag >> 3, tag & 7
        if number in skip and tag < 0x80 and wire_type in (_VARINT, _FIXED32):
            position = max(_end_of_list(message, start, tag), _end_of_value(message, position, number, wire_type))
            continue
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


def integers(message: memoryview, number: int) -> npt.NDArray[np.int64]:
    """All values of a repeated field of integers."""
    values: list[int] = []
    for found, value in fields(message):
        if found == number and isinstance(value, int):
            values.append(value)
        elif found == number and isinstance(value, memoryview):
            position = 0
            while position < len(value):
                item, position = _varint(value, position)
                values.append(item)
    return np.array([value % 2**_BITS for value in values], np.uint64).astype(np.int64)


def floats(message: memoryview, number: int) -> npt.NDArray[np.float32]:
    """All values of a repeated field of 32-bit floats."""
    content = b"".join(value for found, value in fields(message) if found == number and isinstance(value, memoryview))
    return np.frombuffer(content[: len(content) // 4 * 4], "<f4")


def encode(number: int, value: int | bytes | memoryview) -> bytes:
    """A field with a varint, or with bytes: a text or a message."""
    if isinstance(value, int):
        return _encode_varint(number << 3 | _VARINT) + _encode_varint(value)
    return b"".join([_encode_varint(number << 3 | _BYTES), _encode_varint(len(value)), value])


def _encode_varint(value: int) -> bytes:
    encoded = bytearray()
    while value >= 0x80:
        encoded.append(value & 0x7F | 0x80)
        value >>= 7
    return bytes([*encoded, value])


def _end_of_list(message: memoryview, start: int, tag: int) -> int:
    """The position after the numbers with the same tag that follow each other from ``start``, as far as it is found.

    :param tag: of one byte, for varints or 32-bit values.
    """
    while True:
        content = np.frombuffer(message[start : start + _RUN_BYTES], np.uint8)
        # The bytes without the bit that continues a varint are in turn a tag and the end of a value.
        varints = tag & 7 == _VARINT
        ends = np.flatnonzero(content < 0x80)[1::2] + 1 if varints else np.arange(5, len(content) + 1, 5)
        starts = np.concatenate([[0], ends[:-1]])[: len(ends)]
        others = np.flatnonzero(content[starts] != tag)
        count = int(others[0]) if len(others) else len(ends)
        if not count:
            return start
        start += int(ends[count - 1])
        if count < len(ends):
            return start


def _end_of_value(message: memoryview, position: int, number: int, wire_type: int) -> int:
    if wire_type == _VARINT:
        return _varint(message, position)[1]
    if position + _SIZES[wire_type] > len(message):
        raise ValueError(f"it ends within field {number}")
    return position + _SIZES[wire_type]


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
