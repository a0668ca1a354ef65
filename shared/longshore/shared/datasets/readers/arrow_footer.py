"""The row count of each batch in an Arrow IPC file, without reading the batches.

Arrow's own reader reads the batches to count their rows. The counts are in small FlatBuffers tables, described in
https://arrow.apache.org/docs/format/Columnar.html#ipc-file-format and in the format's ``File.fbs`` and ``Message.fbs``.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass

import pyarrow as pa

MAGIC = b"ARROW1"
#: The largest batch that the format recommends. A damaged length is often larger, and would need too many shards.
MAX_BATCH_ROWS = 2**31 - 1
#: Precedes the length of a message since format version 0.15.
_CONTINUATION = 0xFFFFFFFF
#: Fields of the FlatBuffers tables, by their index in the schema.
_FOOTER_BATCHES, _MESSAGE_HEADER, _BATCH_LENGTH, _BATCH_BUFFERS, _BATCH_COMPRESSION = 3, 2, 0, 2, 3
#: A block: offset of a message, then the sizes of its metadata and of its body, all in bytes.
_BLOCK = struct.Struct("<qi4xq")
#: A buffer: its offset in the body and its length.
_BUFFER = struct.Struct("<qq")
_SIZE = struct.Struct("<q")


def batch_lengths(file: pa.NativeFile) -> list[int]:
    """The number of rows in each batch, in the order of the footer.

    :raises ValueError: the file is damaged.
    :raises struct.error: the file is damaged.
    """
    return [_length(_header(_read(file, offset, metadata))) for offset, metadata, _ in _blocks(file)]


def expanded_size(file: pa.NativeFile, index: int) -> int:
    """The size in bytes that the buffers of a compressed batch claim to have when they are decompressed.

    :returns: 0 if it is not compressed.
    :raises ValueError: the file is damaged.
    :raises struct.error: the file is damaged.
    """
    offset, metadata, body = _blocks(file)[index]
    batch = _header(_read(file, offset, metadata))
    buffers = batch.follow(_BATCH_BUFFERS)
    if batch.field(_BATCH_COMPRESSION) is None or buffers is None:
        return 0
    total = 0
    for number in range(batch.number("<I", buffers)):
        begin, length = _BUFFER.unpack_from(batch.content, buffers + 4 + _BUFFER.size * number)
        if length >= _SIZE.size and 0 <= begin <= body:
            # Before each buffer is its size; -1 says that it is not compressed.
            total += max(0, *_SIZE.unpack(_read(file, offset + metadata + begin, _SIZE.size)))
    return total


def _blocks(file: pa.NativeFile) -> list[tuple[int, int, int]]:
    end = file.size() - len(MAGIC) - 4
    (size,) = struct.unpack("<i", _read(file, end, 4))
    footer = _Table.root(_read(file, end - size, size))
    vector = footer.follow(_FOOTER_BATCHES)
    if vector is None:
        return []
    count = footer.number("<I", vector)
    return [_BLOCK.unpack_from(footer.content, vector + 4 + _BLOCK.size * number) for number in range(count)]


def _header(message: bytes) -> _Table:
    (first,) = struct.unpack_from("<I", message)
    table = _Table.root(message[8:] if first == _CONTINUATION else message[4:])
    header = table.follow(_MESSAGE_HEADER)
    if header is None:
        raise ValueError("a batch has no header")
    return _Table(table.content, header)


def _length(batch: _Table) -> int:
    length = batch.field(_BATCH_LENGTH)
    rows = 0 if length is None else batch.number("<q", length)
    if not 0 <= rows <= MAX_BATCH_ROWS:
        raise ValueError(f"a batch of {rows} rows")
    return rows


@dataclass(frozen=True)
class _Table:
    """A FlatBuffers table that begins at byte ``offset``."""

    content: bytes
    offset: int

    @classmethod
    def root(cls, content: bytes) -> _Table:
        return cls(content, struct.unpack_from("<I", content)[0])

    def number(self, format: str, offset: int) -> int:
        if offset < 0:  # struct would count from the end
            raise ValueError("an offset points outside the file")
        return int(struct.unpack_from(format, self.content, offset)[0])

    def field(self, index: int) -> int | None:
        """The offset of a field; ``None`` if it has its default value."""
        vtable = self.offset - self.number("<i", self.offset)
        slot = 4 + 2 * index
        if slot >= self.number("<H", vtable):
            return None
        relative = self.number("<H", vtable + slot)
        return self.offset + relative if relative else None

    def follow(self, index: int) -> int | None:
        """The offset of the table or vector that a field points to."""
        offset = self.field(index)
        return None if offset is None else offset + self.number("<I", offset)


def _read(file: pa.NativeFile, offset: int, size: int) -> bytes:
    if offset < 0 or size < 0:
        raise ValueError("an offset points outside the file")
    file.seek(offset)
    return bytes(file.read(size))
