"""Splits rows into training, validation and test rows."""

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

#: Added to the seed for the test rows, so that they are not drawn like the validation rows.
_TEST_SEED = 0x7E57


@dataclass(frozen=True)
class SplitIndices:
    """Row indexes, each ascending. Together they are all rows, and no row is in two splits."""

    train: Rows
    validation: Rows
    test: Rows


def split_by_fraction(groups: Rows, validation: float, test: float, seed: int) -> SplitIndices:
    """Draw the validation and test rows by ``seed``, from each class in proportion to its size (stratified).

    At least one row of every group is trained on, so that no class is held out altogether.

    :param groups: int64 ``(n,)``: the class of each row; all the same for a split that is not stratified.
    :param validation: the fraction of all rows, 0 to 1; 0 holds none out. Likewise ``test``.
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
        raise InvalidInput("folds", f"{count}: there are only {len(groups)} rows; ask for fewer folds")
    shuffled = torch.randperm(len(groups), generator=torch.Generator().manual_seed(seed)).numpy()
    order = shuffled[np.argsort(groups[shuffled], kind="stable")]
    mask = np.zeros(len(groups), dtype=bool)
    # Dealt like cards, class after class.
    mask[order[number::count]] = True
    return SplitIndices(np.flatnonzero(~mask), np.flatnonzero(mask), np.empty(0, np.int64))


def split_by_column(column: pa.ChunkedArray, name: str) -> SplitIndices:
    """Split rows by the names in a text column: see ``SPLITS``. Case does not matter.

    :raises InvalidInput: a value is not a name of a split, or no row is for training.
    """
    splits = named_splits(column, name)
    parts = SplitIndices(*(np.flatnonzero(splits == split) for split in range(3)))
    if not len(parts.train):
        raise InvalidInput("split", f"column {name!r} calls no row {TRAIN}; there must be rows to train on")
    return parts


def named_splits(column: pa.ChunkedArray, name: str, row: int = 0) -> Codes:
    """The split of each row: 0 for training, 1 for validation, 2 for the test.

    :param row: the number of the first, for errors.
    :raises InvalidInput: a value is not a name of a split.
    """
    named = pc.utf8_lower(pc.utf8_trim_whitespace(column.cast(pa.large_string())))
    indexes = pc.index_in(named, value_set=pa.array(list(SPLITS), pa.large_string()))
    first = pc.index(pc.is_null(indexes), True).as_py()
    if first >= 0:
        raise InvalidInput(
            "split",
            f"column {name!r} has {shorten(column[first].as_py())} in row {row + first}; "
            f"the names of the parts are {', '.join(SPLITS)}",
        )
    codes = np.array([(TRAIN, VALIDATION, TEST).index(part) for part in SPLITS.values()], np.int8)
    parts: Codes = codes[indexes.to_numpy()]
    return parts


def _hold_out(rows: Rows, groups: Rows, fraction: float, seed: int, part: str) -> tuple[Rows, Rows]:
    """Divide ``rows`` into those that stay and those held out: a ``fraction`` of the rows of ``groups``."""
    of, count = groups[rows], len(rows)
    shuffled = torch.randperm(count, generator=torch.Generator().manual_seed(seed)).numpy()
    order = shuffled[np.argsort(of[shuffled], kind="stable")]
    first = np.ones(count, dtype=bool)
    first[1:] = of[order[1:]] != of[order[:-1]]
    free = order[~first]
    held_out = min(round(len(groups) * fraction), len(free))
    if fraction > 0 and held_out == 0:
        raise InvalidInput(
            part,
            f"{fraction} of {len(groups)} rows holds none out; give a larger fraction, more rows, or 0"
            if first.sum() == 1
            else f"{fraction} of {len(groups)} rows in {int(first.sum())} classes holds none out; "
            "give a larger fraction, more rows of each class, or 0",
        )
    # Evenly spaced over rows sorted by class: each class contributes in proportion to its size, within one row.
    picked = free[((np.arange(held_out) + 0.5) * len(free) / max(held_out, 1)).astype(np.int64)]
    mask = np.zeros(count, dtype=bool)
    mask[picked] = True
    return rows[~mask], rows[mask]
