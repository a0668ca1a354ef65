"""What it means when a forward pass raises."""

from __future__ import annotations

from collections.abc import Callable, Iterable

import numpy as np
import numpy.typing as npt
import torch

from longshore.shared.errors import CorruptBlob, LongshoreError, ServiceUnavailable

#: How allocators that have no exception of their own say that there is no memory left.
_NO_MEMORY = ("can't allocate memory", "bad_alloc", "failed to allocate memory", "out of memory")
#: The longest reason that is kept for a row, in characters.
_LONGEST = 300


def is_out_of_memory(error: Exception) -> bool:
    """The batch does not fit; a smaller one may."""
    if isinstance(error, (MemoryError, torch.OutOfMemoryError)):
        return True
    return any(said in str(error).lower() for said in _NO_MEMORY)


def is_fatal(error: Exception) -> bool:
    """No other batch can be computed by this process, or by this version, either."""
    # After a fault on a GPU every further call raises it again.
    return isinstance(error, (torch.AcceleratorError, CorruptBlob, ServiceUnavailable))


def is_the_model_s(forward: Callable[[npt.NDArray[np.int64]], object], rows: Iterable[npt.NDArray[np.int64]]) -> bool:
    """Whether each of some rows fails by itself, so that no row is to blame."""
    for row in rows:
        try:
            forward(row)
        except Exception as error:  # a network can raise anything
            if is_fatal(error):
                raise
            continue
        return False
    return True


def reason(error: Exception) -> str:
    """The error in one line, for the one who sent the row."""
    first = next(iter(str(error).splitlines()), "")
    return (first if isinstance(error, LongshoreError) else f"{type(error).__name__}: {first}")[:_LONGEST]
