"""How many rows each batch of an Arrow IPC file has, without reading the batches.

Arrow's own reader tells it only by reading them. The numbers stand in small FlatBuffers tables, laid out as in
https://arrow.apache.org/docs/format/Columnar.html#ipc-file-format and ``File.fbs`` and ``Message.fbs`` of the format.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass

import pyarrow as pa

MAGIC = b"ARROW1"
#: The most rows that the format advises for a batch. A damaged length is often more, and more shards than can be made.
LONGEST = 2**31 - 1
#: Since version 0.15 of the format, stands before the length of a message.
_CONTINUATION = 0xFFFFFFFF
#: Fields of the FlatBuffers tables, by their place in the schema.
_FOOTER_BATCHES, _MESSAGE_HEADER, _BATCH_LENGTH = 3, 2, 0
#: A block: where a message begins, the bytes of its metadata, and those of its body.
_BLOCK = struct.Struct("<qi4xq")


def batch_lengths(file: pa.NativeFile) -> list[int]:
    """Rows of each batch, in the order of the footer.

    :raises ValueError: the file is damaged. :raises struct.error: likewise.
    """
    end = file.size() - len(MAGIC) - 4
    (size,) = struct.unpack("<i", _read(file, end, 4))
    footer = _Table.root(_read(file, end - size, size))
    vector = footer.follow(_FOOTER_BATCHES)
    if vector is None:
        return []
    count = footer.number("<I", vector)
    blocks = [_BLOCK.unpack_from(footer.content, vector + 4 + _BLOCK.size * number) for number in range(count)]
    return [_length(_read(file, offset, metadata)) for offset, metadata, _ in blocks]


def _length(message: bytes) -> int:
    (first,) = struct.unpack_from("<I", message)
    table = _Table.root(message[8:] if first == _CONTINUATION else message[4:])
    header = table.follow(_MESSAGE_HEADER)
    if header is None:
        raise ValueError("a batch has no header")
    batch = _Table(table.content, header)
    length = batch.field(_BATCH_LENGTH)
    rows = 0 if length is None else batch.number("<q", length)
    if not 0 <= rows <= LONGEST:
        raise ValueError(f"a batch of {rows} rows")
    return rows


@dataclass(frozen=True)
class _Table:
    """A FlatBuffers table that begins at ``at``."""

    content: bytes
    at: int

    @classmethod
    def root(cls, content: bytes) -> _Table:
        return cls(content, struct.unpack_from("<I", content)[0])

    def number(self, form: str, at: int) -> int:
        if at < 0:  # struct would count from the end
            raise ValueError("an offset leads out of the file")
        return int(struct.unpack_from(form, self.content, at)[0])

    def field(self, place: int) -> int | None:
        """Where a field lies; ``None`` if it has its default."""
        layout = self.at - self.number("<i", self.at)
        slot = 4 + 2 * place
        if slot >= self.number("<H", layout):
            return None
        offset = self.number("<H", layout + slot)
        return self.at + offset if offset else None

    def follow(self, place: int) -> int | None:
        """Where the table or vector begins that a field points to."""
        at = self.field(place)
        return None if at is None else at + self.number("<I", at)


def _read(file: pa.NativeFile, offset: int, size: int) -> bytes:
    if offset < 0 or size < 0:
        raise ValueError("an offset leads out of the file")
    file.seek(offset)
    return bytes(file.read(size))
