"""Which rows are held out."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from longshore.shared.errors import InvalidInput
from longshore.workers.train.split import split_rows


@given(
    groups=st.lists(st.integers(0, 4), min_size=2, max_size=200),
    fraction=st.floats(0.01, 0.99),
    seed=st.integers(0, 2**63 - 1),
)
def test_rows_are_parted_and_every_class_is_trained_on(groups: list[int], fraction: float, seed: int) -> None:
    array = np.array(groups)
    if round(len(groups) * fraction) == 0 or len(set(groups)) == len(groups):
        with pytest.raises(InvalidInput, match="validation"):
            split_rows(array, fraction, seed)
        return
    train, held_out = split_rows(array, fraction, seed)
    assert sorted([*train, *held_out]) == list(range(len(groups)))
    assert set(array[train]) == set(groups)
    assert 0 < len(held_out) <= round(len(groups) * fraction)


def test_classes_are_held_out_in_proportion() -> None:
    groups = np.repeat([0, 1, 2], [100, 700, 200])
    _, held_out = split_rows(groups, 0.2, 7)
    assert np.abs(np.bincount(groups[held_out]) - [20, 140, 40]).max() <= 1


def test_the_seed_decides() -> None:
    groups = np.zeros(500, dtype=np.int64)
    one, again, other = (split_rows(groups, 0.1, seed)[1].tolist() for seed in (1, 1, 2))
    assert one == again
    assert one != other


def test_no_fraction_holds_none_out() -> None:
    train, held_out = split_rows(np.zeros(3, dtype=np.int64), 0, 0)
    assert (train.tolist(), held_out.tolist()) == ([0, 1, 2], [])


def test_a_fraction_of_less_than_a_row_is_refused() -> None:
    with pytest.raises(InvalidInput, match=r"validation: 0\.1 of 4 rows"):
        split_rows(np.zeros(4, dtype=np.int64), 0.1, 0)
