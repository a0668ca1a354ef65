"""Reads the header of a NumPy file, and any range of its rows."""

from __future__ import annotations

import io
import math
from dataclasses import dataclass
from typing import Protocol

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from longshore.shared.datasets.bounds import check_row

#: The kinds of ``numpy.dtype`` that are numbers: booleans, signed and unsigned integers, floats.
NUMBERS = "biuf"


class Readable(Protocol):
    """A file, or a member of an archive, opened for reading."""

    def seek(self, offset: int, whence: int = 0, /) -> int: ...
    def read(self, size: int = -1, /) -> bytes: ...


@dataclass(frozen=True)
class ArrayHeader:
    """The header of an array file."""

    dtype: np.dtype[np.generic]
    shape: tuple[int, ...]
    #: Whether the values are in Fortran order, the first axis changing fastest.
    fortran: bool
    #: Position of the first value in the file, in bytes.
    offset: int

    @property
    def rows(self) -> int:
        return self.shape[0]

    @property
    def width(self) -> int:
        """How many numbers each row has."""
        return math.prod(self.shape[1:])

    @property
    def row_bytes(self) -> int:
        """The size of a row."""
        return self.width * self.dtype.itemsize

    @property
    def type(self) -> pa.DataType:
        """The type of the column that ``array_column`` makes of such an array."""
        return column_type(self.dtype, self.shape)


def column_type(dtype: np.dtype[np.generic], shape: tuple[int, ...]) -> pa.DataType:
    """The type of the column that ``array_column`` makes of an array of numbers, whose first axis is the rows."""
    native = dtype.newbyteorder("=") if dtype.itemsize <= 8 else np.dtype(np.float64)
    number = pa.from_numpy_dtype(native)
    return number if len(shape) == 1 else pa.list_(number, math.prod(shape[1:]))


def read_header(file: Readable, size: int) -> ArrayHeader:
    """Read the header of an array, without unpickling anything.

    :param size: size of the file in bytes.
    :raises ValueError: it is not an array of numbers with at least one value per row, or the file is cut off.
    """
    content = io.BytesIO(file.read(1 << 16))
    version = np.lib.format.read_magic(content)
    if version == (1, 0):
        shape, fortran, dtype = np.lib.format.read_array_header_1_0(content)
    elif version == (2, 0):
        shape, fortran, dtype = np.lib.format.read_array_header_2_0(content)
    else:
        raise ValueError(f"unsupported format version {version}; save plain numbers")
    if dtype.kind not in NUMBERS:
        raise ValueError(f"an array of {dtype}; save numbers (integers, floats or booleans)")
    header = ArrayHeader(dtype, tuple(map(int, shape)), bool(fortran), content.tell())
    if not shape or min(shape) < 0 or not header.width:
        raise ValueError(f"an array of shape {shape}; save rows with at least one value")
    check_row("an array", header.row_bytes)
    missing = header.offset + header.rows * header.width * dtype.itemsize - size
    if missing > 0:
        raise ValueError(f"it ends {missing} bytes too early for an array of shape {shape}; it was cut off")
    return header


def read_rows(file: Readable, header: ArrayHeader, start: int, stop: int) -> npt.NDArray[np.generic]:
    """Rows ``start`` (inclusive) to ``stop`` (exclusive); shape (stop - start, ...).

    The file is read, not memory-mapped: if another process shortens a mapped file, this process crashes.

    :raises ValueError: the file has become shorter.
    """
    rows, width = stop - start, header.width
    shape = (rows, *header.shape[1:])
    if not header.fortran:
        values = _read(file, header, start * width, rows * width)
        return values.reshape(shape)
    columns = [_read(file, header, column * header.rows + start, rows) for column in range(width)]
    return np.concatenate(columns).reshape(shape, order="F")


def _read(file: Readable, header: ArrayHeader, first: int, count: int) -> npt.NDArray[np.generic]:
    """``count`` values from index ``first`` on, in file order."""
    item = header.dtype.itemsize
    file.seek(header.offset + first * item)
    content = file.read(count * item)
    if len(content) < count * item:
        raise ValueError("it was shortened since it was opened")
    return np.frombuffer(content, header.dtype)
