"""The safetensors format, as far as weights files are written without PyTorch.

https://huggingface.co/docs/safetensors
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import dataclass

#: Bytes of a number, by the types of a file that are read and written.
SIZES = {
    "BOOL": 1,
    "U8": 1,
    "I8": 1,
    "I16": 2,
    "F16": 2,
    "BF16": 2,
    "I32": 4,
    "F32": 4,
    "I64": 8,
    "F64": 8,
}


@dataclass(frozen=True)
class Entry:
    """One tensor of a file."""

    name: str
    #: A key of :data:`SIZES`.
    dtype: str
    shape: tuple[int, ...]
    #: Of its numbers.
    nbytes: int


def header(entries: Iterable[Entry]) -> bytes:
    """The beginning of a file; the tensors' numbers follow, one after the other and little-endian."""
    told: dict[str, object] = {}
    end = 0
    for entry in entries:
        start, end = end, end + entry.nbytes
        told[entry.name] = {"dtype": entry.dtype, "shape": entry.shape, "data_offsets": [start, end]}
    written = json.dumps(told, separators=(",", ":"), ensure_ascii=False).encode()
    written += b" " * (-len(written) % 8)  # numbers begin at a multiple of 8
    return len(written).to_bytes(8, "little") + written
