"""Which rows are trained on, which are held out to measure each epoch on, and which to measure the end on."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
import torch

from longshore.shared.datasets.split_names import SPLITS, TEST, TRAIN, VALIDATION
from longshore.shared.errors import InvalidInput
from longshore.shared.specs.validation import shorten

Rows = npt.NDArray[np.int64]
Codes = npt.NDArray[np.int8]

#: Added to the seed for the rows to test on, so that these are not drawn like those to validate on.
_TEST_SEED = 0x7E57


@dataclass(frozen=True)
class SplitIndices:
    """Row numbers, each ascending. Together they are all rows, and no row is in two parts."""

    train: Rows
    validation: Rows
    test: Rows


def split_by_fraction(groups: Rows, validation: float, test: float, seed: int) -> SplitIndices:
    """Draw the rows to validate on and to test on by ``seed``, from each group in proportion (stratified).

    At least one row of every group is trained on, so that no class is held out altogether.

    :param groups: int64 ``(n,)``: the class of each row; all the same for a plain split.
    :param validation: of all rows, 0 to 1; 0 holds none out. So ``test``.
    :raises InvalidInput: a fraction is above 0 and so small that no row is held out.
    """
    rest, tested = _hold_out(np.arange(len(groups)), groups, test, (seed + _TEST_SEED) % 2**63, TEST)
    train, held_out = _hold_out(rest, groups, validation, seed, VALIDATION)
    return SplitIndices(train, held_out, tested)


def split_by_fold(groups: Rows, fold: tuple[int, int], seed: int) -> SplitIndices:
    """Validate on one of k parts, drawn by ``seed`` from each group in proportion (stratified).

    :param groups: as of :func:`split_by_fraction`.
    :param fold: (i, k) with i from 0. The k parts of the same groups and seed have no row in common, and all rows
        together; they differ in size by one row at most.
    :raises InvalidInput: there are fewer rows than parts.
    """
    number, count = fold
    if len(groups) < count:
        raise InvalidInput("folds", f"{count}: there are but {len(groups)} rows; ask for fewer folds")
    shuffled = torch.randperm(len(groups), generator=torch.Generator().manual_seed(seed)).numpy()
    order = shuffled[np.argsort(groups[shuffled], kind="stable")]
    mask = np.zeros(len(groups), dtype=bool)
    # Dealt out like cards, group after group.
    mask[order[number::count]] = True
    return SplitIndices(np.flatnonzero(~mask), np.flatnonzero(mask), np.empty(0, np.int64))


def split_by_column(column: pa.ChunkedArray, name: str) -> SplitIndices:
    """Part rows by what a column of text calls them: see ``SPLITS``. Case does not matter.

    :raises InvalidInput: a value is none of these, or no row is to be trained on.
    """
    found = named_splits(column, name)
    parts = SplitIndices(*(np.flatnonzero(found == part) for part in range(3)))
    if not len(parts.train):
        raise InvalidInput("split", f"column {name!r} calls no row {TRAIN}; there must be rows to train on")
    return parts


def named_splits(column: pa.ChunkedArray, name: str, row: int = 0) -> Codes:
    """The part of each row: 0 to train on, 1 for validation, 2 for the test.

    :param row: the number of the first, for errors.
    :raises InvalidInput: a value names none.
    """
    named = pc.utf8_lower(pc.utf8_trim_whitespace(column.cast(pa.large_string())))
    found = pc.index_in(named, value_set=pa.array(list(SPLITS), pa.large_string()))
    first = pc.index(pc.is_null(found), True).as_py()
    if first >= 0:
        raise InvalidInput(
            "split",
            f"column {name!r} has {shorten(column[first].as_py())} in row {row + first}; "
            f"the names of the parts are {', '.join(SPLITS)}",
        )
    codes = np.array([(TRAIN, VALIDATION, TEST).index(part) for part in SPLITS.values()], np.int8)
    parts: Codes = codes[found.to_numpy()]
    return parts


def _hold_out(rows: Rows, groups: Rows, fraction: float, seed: int, part: str) -> tuple[Rows, Rows]:
    """Part ``rows`` into what stays and what is held out: ``fraction`` of as many rows as ``groups`` has."""
    of, count = groups[rows], len(rows)
    shuffled = torch.randperm(count, generator=torch.Generator().manual_seed(seed)).numpy()
    order = shuffled[np.argsort(of[shuffled], kind="stable")]
    first = np.ones(count, dtype=bool)
    first[1:] = of[order[1:]] != of[order[:-1]]
    free = order[~first]
    held = min(round(len(groups) * fraction), len(free))
    if fraction > 0 and held == 0:
        raise InvalidInput(
            part,
            f"{fraction} of {len(groups)} rows in {int(first.sum())} classes holds none out; "
            "give a larger fraction, more rows of each class, or 0",
        )
    # Evenly spaced over rows sorted by group: each group gives its share, give or take one row.
    picked = free[((np.arange(held) + 0.5) * len(free) / max(held, 1)).astype(np.int64)]
    mask = np.zeros(count, dtype=bool)
    mask[picked] = True
    return rows[~mask], rows[mask]
