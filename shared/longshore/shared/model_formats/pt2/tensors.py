"""From the storages of an archive to a safetensors file.

A storage is raw bytes, little-endian; sizes, strides and offset say how a tensor lies in it. Tensors may share one.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path
from typing import IO

import numpy as np
import numpy.typing as npt

from longshore.shared.errors import InvalidInput, ServiceUnavailable
from longshore.shared.model_formats.pt2.archive import Archive
from longshore.shared.model_formats.pt2.model import STRIDED, Payload, Size, TensorMeta
from longshore.shared.model_formats.weights import Entry, header

#: The types of a weights file by those of the schema, and the numpy type of as many bytes.
_TYPES: dict[int, tuple[str, str]] = {
    1: ("U8", "u1"),
    2: ("I8", "i1"),
    3: ("I16", "<i2"),
    4: ("I32", "<i4"),
    5: ("I64", "<i8"),
    6: ("F16", "<u2"),
    7: ("F32", "<u4"),
    8: ("F64", "<u8"),
    12: ("BOOL", "u1"),
    13: ("BF16", "<u2"),
}
#: Dimensions of a tensor that are read.
_MOST_DIMENSIONS = 32


@dataclass(frozen=True)
class Stored:
    """One tensor, and where it lies."""

    name: str
    file: str
    dtype: str
    kind: np.dtype[np.generic]
    shape: tuple[int, ...]
    #: In numbers, not in bytes.
    strides: tuple[int, ...]
    offset: int

    @property
    def nbytes(self) -> int:
        """Of its numbers, once each."""
        return math.prod(self.shape) * self.kind.itemsize


def locate(name: str, folder: str, payload: Payload, archive: Archive, field: str) -> Stored:
    """Where a tensor lies.

    :raises InvalidInput: its type has no place in a weights file, or it does not lie within its storage.
    """
    meta = payload.tensor_meta
    if meta is None or meta.layout != STRIDED or meta.dtype not in _TYPES:
        raise InvalidInput(
            field, f"{name[:80]!r} is a tensor of a type or layout that is not read; make it a dense one"
        )
    dtype, kind = _TYPES[meta.dtype]
    stored = Stored(name, folder + payload.path_name, dtype, np.dtype(kind), *_numbers(meta, name, field))
    size = archive.size(stored.file)
    sides = zip(stored.shape, stored.strides, strict=True)
    last = stored.offset + sum((side - 1) * stride for side, stride in sides) if math.prod(stored.shape) else -1
    if (last + 1) * stored.kind.itemsize > size:
        raise InvalidInput(field, f"{name[:80]!r} does not lie within the {size} bytes of its file {stored.file[:80]}")
    if stored.nbytes > size:  # an expanded tensor: many numbers of few bytes
        raise InvalidInput(field, f"{name[:80]!r} is larger than its storage; call contiguous() on it and export again")
    return stored


def _numbers(meta: TensorMeta, name: str, field: str) -> tuple[tuple[int, ...], tuple[int, ...], int]:
    def plain(sizes: tuple[Size, ...]) -> tuple[int, ...]:
        found = tuple(size.as_int for size in sizes if size.as_int is not None and size.as_int >= 0)
        if len(found) != len(sizes) or len(found) > _MOST_DIMENSIONS:
            raise InvalidInput(field, f"the sizes of {name[:80]!r} are no plain numbers")
        return found

    shape, strides, [offset] = plain(meta.sizes), plain(meta.strides), plain((meta.storage_offset,))
    if len(shape) != len(strides):
        raise InvalidInput(field, f"{name[:80]!r} has {len(shape)} sizes and {len(strides)} strides")
    return shape, strides, offset


def write_tensors(tensors: list[Stored], archive: Archive, path: Path) -> None:
    """Write tensors one after the other; only one storage is in memory at a time.

    :raises InvalidInput: a storage is damaged.
    :raises ServiceUnavailable: the file cannot be written.
    """
    entries = [Entry(tensor.name, tensor.dtype, tensor.shape, tensor.nbytes) for tensor in tensors]
    try:
        with path.open("wb") as file:
            file.write(header(entries))
            for tensor in tensors:
                _write(tensor, archive.read(tensor.file), file)
    except OSError as error:
        raise ServiceUnavailable(f"cannot write {path}: {error.strerror}; is the disk full?") from error


def _write(tensor: Stored, storage: bytes, file: IO[bytes]) -> None:
    size = tensor.kind.itemsize
    numbers: npt.NDArray[np.generic] = np.frombuffer(storage[: len(storage) // size * size], tensor.kind)
    if tensor.nbytes:
        # One number has no next one: what is said of the way to it may be anything.
        strides = [stride * size if side > 1 else 0 for side, stride in zip(tensor.shape, tensor.strides, strict=True)]
        view = np.lib.stride_tricks.as_strided(numbers[tensor.offset :], tensor.shape, strides, writeable=False)
        file.write(np.ascontiguousarray(view).reshape(-1).view(np.uint8).data)
