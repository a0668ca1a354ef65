"""One column of a batch as numbers."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TypeAlias

import numpy as np
import numpy.typing as npt

Floats: TypeAlias = npt.NDArray[np.float32]
Doubles: TypeAlias = npt.NDArray[np.float64]
Flags: TypeAlias = npt.NDArray[np.bool_]

#: The error of a row without a value, if its column has a transform that replaces none.
NOT_REPLACED = "no value, and the version does not replace missing ones"


@dataclass(frozen=True)
class Column:
    """One feature of n rows."""

    #: Shape (n, size). Bad rows are zero. May be read-only.
    values: Floats
    #: Index of each bad row, with the reason.
    errors: dict[int, str] = field(default_factory=dict)
    #: A remark on the column that is no error, such as categories that are unknown; the same text for every batch.
    note: str | None = None
