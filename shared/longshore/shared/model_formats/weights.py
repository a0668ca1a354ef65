"""Writes the header of a safetensors file without PyTorch.

https://huggingface.co/docs/safetensors
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import dataclass

#: Size of a number in bytes, for each type that is read and written.
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
class TensorEntry:
    """The header entry of one tensor."""

    name: str
    #: A key of :data:`SIZES`.
    dtype: str
    shape: tuple[int, ...]
    #: Size of its values in bytes.
    nbytes: int


def header(entries: Iterable[TensorEntry]) -> bytes:
    """The header of a file. The values of the tensors follow it, in the same order, little-endian."""
    fields: dict[str, object] = {}
    end = 0
    for entry in entries:
        start, end = end, end + entry.nbytes
        fields[entry.name] = {"dtype": entry.dtype, "shape": entry.shape, "data_offsets": [start, end]}
    content = json.dumps(fields, separators=(",", ":"), ensure_ascii=False).encode()
    content += b" " * (-len(content) % 8)  # align the values to 8 bytes
    return len(content).to_bytes(8, "little") + content
