"""Converts the storages of an archive to a safetensors file.

A storage is raw little-endian bytes; sizes, strides and offset define the layout of a tensor in it. Tensors may share
a storage.
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
from longshore.shared.model_formats.weights import TensorEntry, header

#: By type in the schema: the type in a weights file, and a NumPy type of the same size.
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
#: The most dimensions of a tensor.
_MAX_DIMENSIONS = 32


@dataclass(frozen=True)
class StoredTensor:
    """One tensor, and its location in a storage."""

    name: str
    file: str
    dtype: str
    kind: np.dtype[np.generic]
    shape: tuple[int, ...]
    #: Strides and offset are in numbers, not in bytes.
    strides: tuple[int, ...]
    offset: int

    @property
    def nbytes(self) -> int:
        """Size of its values in bytes."""
        return math.prod(self.shape) * self.kind.itemsize


def locate(name: str, folder: str, payload: Payload, archive: Archive, field: str) -> StoredTensor:
    """Find the location of a tensor.

    :raises InvalidInput: its type cannot be in a weights file, or it exceeds its storage.
    """
    meta = payload.tensor_meta
    if meta is None or meta.layout != STRIDED or meta.dtype not in _TYPES:
        raise InvalidInput(field, f"{name[:80]!r} is a tensor of an unsupported type or layout; make it dense")
    dtype, kind = _TYPES[meta.dtype]
    stored = StoredTensor(name, folder + payload.path_name, dtype, np.dtype(kind), *_numbers(meta, name, field))
    size = archive.size(stored.file)
    sides = zip(stored.shape, stored.strides, strict=True)
    last = stored.offset + sum((side - 1) * stride for side, stride in sides) if math.prod(stored.shape) else -1
    if (last + 1) * stored.kind.itemsize > size:
        raise InvalidInput(field, f"{name[:80]!r} exceeds the {size} bytes of its file {stored.file[:80]}")
    if stored.nbytes > size:  # an expanded tensor, whose numbers share memory
        raise InvalidInput(field, f"{name[:80]!r} is larger than its storage; call contiguous() on it and export again")
    return stored


def _numbers(meta: TensorMeta, name: str, field: str) -> tuple[tuple[int, ...], tuple[int, ...], int]:
    def integers(sizes: tuple[Size, ...]) -> tuple[int, ...]:
        values = tuple(size.as_int for size in sizes if size.as_int is not None and size.as_int >= 0)
        if len(values) != len(sizes) or len(values) > _MAX_DIMENSIONS:
            raise InvalidInput(field, f"the sizes of {name[:80]!r} are not plain numbers")
        return values

    shape, strides, [offset] = integers(meta.sizes), integers(meta.strides), integers((meta.storage_offset,))
    if len(shape) != len(strides):
        raise InvalidInput(field, f"{name[:80]!r} has {len(shape)} sizes and {len(strides)} strides")
    return shape, strides, offset


def write_tensors(tensors: list[StoredTensor], archive: Archive, path: Path) -> None:
    """Write a safetensors file; only one storage is in memory at a time.

    :raises InvalidInput: a storage is damaged.
    :raises ServiceUnavailable: the file cannot be written.
    """
    entries = [TensorEntry(tensor.name, tensor.dtype, tensor.shape, tensor.nbytes) for tensor in tensors]
    try:
        with path.open("wb") as file:
            file.write(header(entries))
            for tensor in tensors:
                _write(tensor, archive.read(tensor.file), file)
    except OSError as error:
        raise ServiceUnavailable(f"cannot write {path}: {error.strerror}; check the free disk space") from error


def _write(tensor: StoredTensor, storage: bytes, file: IO[bytes]) -> None:
    size = tensor.kind.itemsize
    numbers: npt.NDArray[np.generic] = np.frombuffer(storage[: len(storage) // size * size], tensor.kind)
    if tensor.nbytes:
        # The stride of a dimension of size 1 is never used, so that it can have any value.
        strides = [stride * size if side > 1 else 0 for side, stride in zip(tensor.shape, tensor.strides, strict=True)]
        view = np.lib.stride_tricks.as_strided(numbers[tensor.offset :], tensor.shape, strides, writeable=False)
        file.write(np.ascontiguousarray(view).reshape(-1).view(np.uint8).data)
