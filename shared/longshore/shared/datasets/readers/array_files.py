"""The header of a NumPy file, and any of its rows."""

from __future__ import annotations

import io
import math
from dataclasses import dataclass
from typing import Protocol

import numpy as np
import numpy.typing as npt
import pyarrow as pa

#: The kinds of ``numpy.dtype`` that are numbers: booleans, signed and unsigned integers, floats.
NUMBERS = "biuf"


class Readable(Protocol):
    """A file, or a member of an archive."""

    def seek(self, offset: int, whence: int = 0, /) -> int: ...
    def read(self, size: int = -1, /) -> bytes: ...


@dataclass(frozen=True)
class ArrayHeader:
    """What stands before the values of an array."""

    dtype: np.dtype[np.generic]
    shape: tuple[int, ...]
    #: The first axis changes fastest.
    fortran: bool
    #: Bytes before the values.
    offset: int

    @property
    def rows(self) -> int:
        return self.shape[0]

    @property
    def width(self) -> int:
        """Numbers in a row."""
        return math.prod(self.shape[1:])

    @property
    def type(self) -> pa.DataType:
        """Of the column: what ``array_column`` makes of such an array."""
        return column_type(self.dtype, self.shape)


def column_type(dtype: np.dtype[np.generic], shape: tuple[int, ...]) -> pa.DataType:
    """What ``array_column`` makes of an array of numbers, whose first axis is the rows."""
    kind = dtype.newbyteorder("=") if dtype.itemsize <= 8 else np.dtype(np.float64)
    plain = pa.from_numpy_dtype(kind)
    return plain if len(shape) == 1 else pa.list_(plain, math.prod(shape[1:]))


def read_header(file: Readable, size: int) -> ArrayHeader:
    """The header of an array; nothing of it is ever unpickled.

    :param size: bytes of the file.
    :raises ValueError: it is no array of numbers with rows of at least one value, or shorter than it says.
    """
    content = io.BytesIO(file.read(1 << 16))
    version = np.lib.format.read_magic(content)
    if version == (1, 0):
        shape, fortran, dtype = np.lib.format.read_array_header_1_0(content)
    elif version == (2, 0):
        shape, fortran, dtype = np.lib.format.read_array_header_2_0(content)
    else:
        raise ValueError(f"version {version} of the format; save plain numbers")
    if dtype.kind not in NUMBERS:
        raise ValueError(f"an array of {dtype}; save numbers (integers, floats or booleans)")
    header = ArrayHeader(dtype, tuple(map(int, shape)), bool(fortran), content.tell())
    if not shape or min(shape) < 0 or not header.width:
        raise ValueError(f"an array of shape {shape}; save rows with at least one value")
    missing = header.offset + header.rows * header.width * dtype.itemsize - size
    if missing > 0:
        raise ValueError(f"it ends {missing} bytes too early for an array of shape {shape}; it was cut off")
    return header


def read_rows(file: Readable, header: ArrayHeader, start: int, stop: int) -> npt.NDArray[np.generic]:
    """Rows ``start`` to ``stop``, the latter left out; shape (stop - start, ...).

    The file is read and not mapped: a mapped file that is shortened meanwhile ends the process.

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
    """``count`` values from the one numbered ``first`` on, as they lie in the file."""
    item = header.dtype.itemsize
    file.seek(header.offset + first * item)
    content = file.read(count * item)
    if len(content) < count * item:
        raise ValueError("it was shortened since it was opened")
    return np.frombuffer(content, header.dtype)
