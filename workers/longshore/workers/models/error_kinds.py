"""Classifies the errors of a forward pass."""

from __future__ import annotations

from collections.abc import Callable, Iterable

import numpy as np
import numpy.typing as npt
import torch

from longshore.shared.errors import CorruptBlob, LongshoreError, ServiceUnavailable

#: Texts by which allocators without an exception class report that no memory is left.
_NO_MEMORY = ("can't allocate memory", "bad_alloc", "failed to allocate memory", "out of memory")
#: Characters of a row's error that are kept, at most.
_MAX_REASON_CHARS = 300


def is_out_of_memory(error: Exception) -> bool:
    """Whether the batch does not fit into memory; a smaller one may."""
    if isinstance(error, (MemoryError, torch.OutOfMemoryError)):
        return True
    return any(text in str(error).lower() for text in _NO_MEMORY)


def is_fatal(error: Exception) -> bool:
    """Whether this process, or this version, can compute no other batch either."""
    # After a fault on a GPU every further call raises it again.
    return isinstance(error, (torch.AcceleratorError, CorruptBlob, ServiceUnavailable))


def fails_on_every_row(
    forward: Callable[[npt.NDArray[np.int64]], object], rows: Iterable[npt.NDArray[np.int64]]
) -> bool:
    """Whether each row fails alone, so that the model is to blame."""
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
    """The error in one line, for the job's owner."""
    first = next(iter(str(error).splitlines()), "")
    return (first if isinstance(error, LongshoreError) else f"{type(error).__name__}: {first}")[:_MAX_REASON_CHARS]
