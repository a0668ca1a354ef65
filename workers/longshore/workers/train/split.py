"""Which rows are trained on and which are held out."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import torch

from longshore.shared.errors import InvalidInput

Rows = npt.NDArray[np.int64]


def split_rows(groups: Rows, fraction: float, seed: int) -> tuple[Rows, Rows]:
    """Draw the held-out rows by ``seed``, from each group in proportion (stratified).

    The first drawn row of every group is trained on, so that no class is held out altogether.

    :param groups: int64 ``(n,)``: the class of each row; all the same for a plain split.
    :param fraction: of rows to hold out, 0 to 1; 0 holds none out.
    :returns: row numbers to train on and row numbers held out, each ascending.
    :raises InvalidInput: ``fraction`` is above 0 and so small that no row is held out.
    """
    count = len(groups)
    shuffled = torch.randperm(count, generator=torch.Generator().manual_seed(seed)).numpy()
    order = shuffled[np.argsort(groups[shuffled], kind="stable")]
    first = np.ones(count, dtype=bool)
    first[1:] = groups[order[1:]] != groups[order[:-1]]
    free = order[~first]
    held = min(round(count * fraction), len(free))
    if fraction > 0 and held == 0:
        raise InvalidInput(
            "validation",
            f"{fraction} of {count} rows in {int(first.sum())} classes holds none out; "
            "give a larger fraction, more rows, or 0",
        )
    # Evenly spaced over rows sorted by group: each group gives its share, give or take one row.
    picked = free[((np.arange(held) + 0.5) * len(free) / max(held, 1)).astype(np.int64)]
    mask = np.zeros(count, dtype=bool)
    mask[picked] = True
    return np.flatnonzero(~mask), np.flatnonzero(mask)
