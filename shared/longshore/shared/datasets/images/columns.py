"""Decodes a column of image files to the numbers that are a network's input."""

from __future__ import annotations

import os
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from longshore.shared.datasets.columns.column import Column
from longshore.shared.datasets.columns.nested_lists import unwrap
from longshore.shared.datasets.columns.types import is_binary
from longshore.shared.datasets.files import one_line
from longshore.shared.errors import InvalidInput
from longshore.shared.specs.signature import Feature

#: The most decoding threads, because several workers can share the machine.
MAX_THREADS = 4
#: How many images a thread decodes at a time.
_STEP = 16
#: For smaller files most of the time is spent in Python, so that threads would wait for each other.
_SMALL_FILE_BYTES = 4096


def to_pixels(array: pa.Array, feature: Feature) -> Column:
    """Decode a column to shape (n, C * H * W), channels first, with values from 0 to 1; (C, H, W) is ``feature.shape``.

    A row is bad if its image is null or cannot be decoded.

    :param array: binary values, or structs with a binary field ``bytes``.
    :raises TypeError: the array has a different type.
    :raises InvalidInput: the package pillow is not installed.
    """
    files = _bytes(array)
    shape = feature.shape
    if shape is None:
        raise InvalidInput("data", f"column {feature.name!r}: the version does not define the shape of its images")
    try:
        from longshore.shared.datasets.images.pixels import decode, ignore_warnings
    except ImportError:
        raise InvalidInput("data", "images need the package pillow: pip install 'longshore[images]'") from None
    ignore_warnings()
    values = np.zeros((len(files), feature.size), np.float32)
    errors: dict[int, str] = {}

    def fill(start: int) -> None:
        for row, content in enumerate(files.slice(start, _STEP), start):
            if not content.is_valid:
                errors[row] = "no image: null, or a file larger than 64 MiB"
                continue
            try:
                values[row] = decode(content.as_py(), shape).reshape(-1)
            except Exception as error:  # Pillow raises many exception types for damaged files
                errors[row] = f"cannot be decoded: {one_line(error)}"

    threads = min(MAX_THREADS, os.cpu_count() or 1) if files.nbytes > _SMALL_FILE_BYTES * len(files) else 1
    with ThreadPoolExecutor(threads) as pool:
        list(pool.map(fill, range(0, len(files), _STEP)))
    return Column(values, errors)


def _bytes(array: pa.Array) -> pa.Array:
    files = unwrap(array)
    if pa.types.is_struct(files.type) and files.type.get_field_index("bytes") >= 0:
        files = unwrap(pc.struct_field(files, "bytes"))
    if not is_binary(files.type) and not pa.types.is_null(files.type):
        raise TypeError(f"has the type {array.type}")
    return files
