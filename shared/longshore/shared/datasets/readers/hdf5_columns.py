"""Finds the datasets of an HDF5 file that are columns, and reads their rows.

A hostile file can refer to other files through links, external storage and virtual datasets. None of these is followed,
and nothing is unpickled.
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

from longshore.shared.datasets import bounds
from longshore.shared.datasets.bounds import check_row
from longshore.shared.datasets.columns.arrays import array_column
from longshore.shared.datasets.readers.array_files import NUMBERS, column_type

#: The most rows of a file. A damaged or hostile file can claim any number without storing them.
MAX_ROWS = 2**31 - 1


class Dataset(Protocol):
    """The subset of ``h5py.Dataset`` that is used here."""

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

    @property
    def row_bytes(self) -> int:
        """The size of a row; of a text of variable length, that of its address."""
        return math.prod(self.dataset.shape[1:]) * self.dataset.dtype.itemsize

    def read(self, start: int, stop: int) -> pa.Array:
        """Rows ``start`` (inclusive) to ``stop`` (exclusive).

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
    """Every dataset with rows, ordered by name; a dataset in a group is called ``group/name``.

    Scalars and other objects are skipped, and so are soft links, because their targets are listed anyway.

    :raises ValueError: there are no datasets, or one has an unsupported type or refers to another file.
    """
    columns = [_column(name, dataset) for name, dataset in _walk(file, "", set()) if dataset.shape]
    if not columns:
        raise ValueError("it has no datasets with rows")
    lengths = {column.name: column.rows for column in columns}
    if len(set(lengths.values())) > 1:
        listed = ", ".join(f"{name!r} {rows}" for name, rows in lengths.items())
        raise ValueError(f"it has datasets of different lengths: {listed}")
    if columns[0].rows > MAX_ROWS:
        raise ValueError(f"it claims {columns[0].rows} rows; at most {MAX_ROWS} are allowed")
    return columns


def _walk(group: h5py.Group, path: str, above: set[int]) -> Iterator[tuple[str, h5py.Dataset]]:
    # A group can contain itself at any depth.
    address = h5py.h5o.get_info(group.id).addr
    if address in above:
        return
    for name in group:
        link = group.get(name, getlink=True)
        if isinstance(link, h5py.SoftLink):
            continue
        if not isinstance(link, h5py.HardLink):
            raise ValueError(f"{path + name!r} is a link to another file; such links are not followed")
        child = group[name]
        if isinstance(child, h5py.Group):
            yield from _walk(child, f"{path}{name}/", above | {address})
        elif isinstance(child, h5py.Dataset):
            yield path + name, child


def _column(name: str, dataset: h5py.Dataset) -> Hdf5Column:
    if dataset.external or dataset.is_virtual:
        raise ValueError(f"dataset {name!r} is stored in other files; copy its values into this file")
    shape, dtype = dataset.shape, dataset.dtype
    check_row(f"dataset {name!r}", math.prod(shape[1:]) * dtype.itemsize)
    if dataset.chunks is not None and math.prod(dataset.chunks) * dtype.itemsize > bounds.MAX_ROW_BYTES:
        # A compressed chunk is decompressed as a whole.
        raise ValueError(
            f"dataset {name!r} has chunks of shape {dataset.chunks}, and at most {bounds.MAX_ROW_BYTES:,} bytes of one "
            "are read; write it with smaller chunks"
        )
    if h5py.check_string_dtype(dtype) is not None and len(shape) == 1:
        return Hdf5Column(name, dataset, pa.string())
    if dtype.kind not in NUMBERS or dtype.shape:
        content = "lists of different lengths or references" if dtype.kind == "O" else str(dtype)
        raise ValueError(f"dataset {name!r} has {content}, shape {shape}; store numbers, or one text per row")
    if not math.prod(shape[1:]):
        raise ValueError(f"dataset {name!r} has shape {shape}; a row must have at least one value")
    return Hdf5Column(name, dataset, column_type(dtype, shape))


def _is_utf8(text: bytes) -> bool:
    try:
        text.decode()
    except UnicodeDecodeError:
        return False
    return True
