"""A column of encoded image files as the numbers of a network's input."""

from __future__ import annotations

import os
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from longshore.shared.datasets.columns.nested_lists import unwrap
from longshore.shared.datasets.columns.numbers import Column
from longshore.shared.datasets.columns.types import is_binary
from longshore.shared.datasets.files import one_line
from longshore.shared.errors import InvalidInput
from longshore.shared.specs.signature import Feature

#: Threads that decode, at most: several workers may share the machine.
THREADS = 4
#: Images that a thread takes at a time.
_STEP = 16
#: Bytes of a file below which most of the work is Python's own, and threads would wait for each other.
_SMALL = 4096


def to_pixels(array: pa.Array, feature: Feature) -> Column:
    """Decode a column: shape (n, C * H * W), values 0 to 1, channels first, as ``feature.shape`` says.

    An image that cannot be decoded, or is null, is an error of its row.

    :param array: binary, or structs whose field ``bytes`` is.
    :raises TypeError: it is neither. :raises InvalidInput: the package pillow is not installed.
    """
    files = _bytes(array)
    shape = feature.shape
    if shape is None:
        raise InvalidInput("data", f"column {feature.name!r}: the version does not say the shape of its images")
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
                errors[row] = "no image: null, or a file of more than 64 MiB"
                continue
            try:
                values[row] = decode(content.as_py(), shape).reshape(-1)
            except Exception as error:  # damaged files make Pillow raise nearly anything
                errors[row] = f"cannot be decoded: {one_line(error)}"

    threads = min(THREADS, os.cpu_count() or 1) if files.nbytes > _SMALL * len(files) else 1
    with ThreadPoolExecutor(threads) as pool:
        list(pool.map(fill, range(0, len(files), _STEP)))
    return Column(values, errors)


def _bytes(array: pa.Array) -> pa.Array:
    plain = unwrap(array)
    if pa.types.is_struct(plain.type) and plain.type.get_field_index("bytes") >= 0:
        plain = unwrap(pc.struct_field(plain, "bytes"))
    if not is_binary(plain.type) and not pa.types.is_null(plain.type):
        raise TypeError(f"holds {array.type}")
    return plain
