"""A block of input rows with any one byte changed."""

from __future__ import annotations

import pytest

from longshore.shared.datasets.inline import decode_block, encode_block, to_table
from longshore.shared.errors import CorruptBlob

BLOCK = encode_block(to_table([{"a": 1, "l": [1.0, 2.0], "s": "text"}] * 3))
#: Parts of the block, so that several processes can share the work.
PARTS = 4


def read_damaged(block: bytes, position: int, mask: int) -> None:
    """Read a block with some bits of one byte changed."""
    damaged = bytearray(block)
    damaged[position] ^= mask
    try:
        table = decode_block(bytes(damaged))
    except CorruptBlob:
        return
    assert decode_block(encode_block(table)).schema == table.schema
    try:
        table.to_pylist()
    except OverflowError:  # numbers that have become moments can lie beyond Python's calendar
        assert any("timestamp" in str(field.type) for field in table.schema)


@pytest.mark.parametrize("part", range(PARTS))
def test_a_damaged_block_is_an_error_and_no_crash(part: int) -> None:
    for position in range(part, len(BLOCK), PARTS):
        for mask in range(1, 256):
            read_damaged(BLOCK, position, mask)
