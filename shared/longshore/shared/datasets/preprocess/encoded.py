"""The result of preprocessing one column."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float32]
Doubles = npt.NDArray[np.float64]
Flags = npt.NDArray[np.bool_]


@dataclass(frozen=True)
class EncodedColumn:
    """One feature of n rows."""

    #: Shape (n, size). Bad rows are zero. May be read-only.
    values: Floats
    #: Index of each bad row, with the reason.
    errors: dict[int, str] = field(default_factory=dict)
    #: A remark on the column that is no error, such as categories that are unknown; the same text for every batch.
    note: str | None = None
