"""The datasets of an HDF5 file that are columns, and rows of one.

Whoever wrote the file can have made it lead elsewhere: through links, external storage and virtual datasets. None of
these is followed, and nothing is ever unpickled.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Protocol

import h5py
import numpy as np
import numpy.typing as npt
import pyarrow as pa

from longshore.shared.datasets.columns.arrays import array_column
from longshore.shared.datasets.readers.array_files import NUMBERS, column_type

#: The most rows. A damaged or hostile file can claim any number without holding them.
LONGEST = 2**31 - 1
#: The most bytes in one row of a column, likewise.
WIDEST = 256 << 20


class Dataset(Protocol):
    """The part of ``h5py.Dataset`` that is used here."""

    name: str
    shape: tuple[int, ...]
    dtype: np.dtype[np.generic]

    def __getitem__(self, rows: slice) -> npt.NDArray[np.generic]: ...


@dataclass(frozen=True)
class Hdf5Column:
    """A dataset whose first axis is the rows."""

    name: str
    dataset: Dataset
    type: pa.DataType

    @property
    def rows(self) -> int:
        return self.dataset.shape[0]

    def read(self, start: int, stop: int) -> pa.Array:
        """Rows ``start`` to ``stop``, the latter left out.

        :raises ValueError: a text is not UTF-8; names the row.
        """
        values = self.dataset[start:stop]
        if self.type != pa.string():
            return array_column(values)
        texts = pa.array(values.tolist(), pa.binary())
        try:
            return texts.cast(pa.string())
        except pa.ArrowInvalid:
            bad = next(row for row, text in enumerate(values.tolist()) if not _is_utf8(text))
            raise ValueError(f"column {self.name!r}, row {start + bad}: not UTF-8") from None


def find_columns(file: h5py.File) -> list[Hdf5Column]:
    """Every dataset with rows, in the order of their names; those in groups are called ``group/name``.

    Single values and what is not a dataset are left out, and so are soft links, which name what is there anyway.

    :raises ValueError: a dataset is of a type that is no column, or leads out of the file; or there is none.
    """
    columns = [_column(name, found) for name, found in _walk(file, "", set()) if found.shape]
    if not columns:
        raise ValueError("it holds no datasets with rows")
    lengths = {column.name: column.rows for column in columns}
    if len(set(lengths.values())) > 1:
        told = ", ".join(f"{name!r} {rows}" for name, rows in lengths.items())
        raise ValueError(f"it holds datasets of different lengths: {told}")
    if columns[0].rows > LONGEST:
        raise ValueError(f"it claims {columns[0].rows} rows; the most are {LONGEST}")
    return columns


def _walk(group: h5py.Group, path: str, above: set[int]) -> Iterator[tuple[str, h5py.Dataset]]:
    # A group can hold itself, however far down.
    address = h5py.h5o.get_info(group.id).addr
    if address in above:
        return
    for name in group:
        link = group.get(name, getlink=True)
        if isinstance(link, h5py.SoftLink):
            continue
        if not isinstance(link, h5py.HardLink):
            raise ValueError(f"{path + name!r} is a link out of the file; such links are not followed")
        found = group[name]
        if isinstance(found, h5py.Group):
            yield from _walk(found, f"{path}{name}/", above | {address})
        elif isinstance(found, h5py.Dataset):
            yield path + name, found


def _column(name: str, dataset: h5py.Dataset) -> Hdf5Column:
    if dataset.external or dataset.is_virtual:
        raise ValueError(f"dataset {name!r} lies in other files; copy its values into this one")
    shape, dtype = dataset.shape, dataset.dtype
    if h5py.check_string_dtype(dtype) is not None and len(shape) == 1:
        return Hdf5Column(name, dataset, pa.string())
    if dtype.kind not in NUMBERS or dtype.shape:
        what = "lists of different lengths or references" if dtype.kind == "O" else str(dtype)
        raise ValueError(f"dataset {name!r} holds {what}, shape {shape}; store numbers, or one text a row")
    if not math.prod(shape[1:]) or math.prod(shape[1:]) * dtype.itemsize > WIDEST:
        raise ValueError(
            f"dataset {name!r} of shape {shape}; a row holds at least one value and at most {WIDEST} bytes"
        )
    return Hdf5Column(name, dataset, column_type(dtype, shape))


def _is_utf8(text: bytes) -> bool:
    try:
        text.decode()
    except UnicodeDecodeError:
        return False
    return True
