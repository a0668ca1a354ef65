"""Which rows are held out."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from longshore.shared.errors import InvalidInput
from longshore.workers.train.data.split import split_by_column, split_by_fold, split_by_fraction


@given(
    groups=st.lists(st.integers(0, 4), min_size=2, max_size=200),
    fraction=st.floats(0.01, 0.99),
    seed=st.integers(0, 2**63 - 1),
)
def test_rows_are_parted_and_every_class_is_trained_on(groups: list[int], fraction: float, seed: int) -> None:
    array = np.array(groups)
    if round(len(groups) * fraction) == 0 or len(set(groups)) == len(groups):
        with pytest.raises(InvalidInput, match="validation"):
            split_by_fraction(array, fraction, 0, seed)
        return
    parts = split_by_fraction(array, fraction, 0, seed)
    train, held_out = parts.train, parts.validation
    assert sorted([*train, *held_out]) == list(range(len(groups)))
    assert set(array[train]) == set(groups)
    assert 0 < len(held_out) <= round(len(groups) * fraction)


def test_classes_are_held_out_in_proportion() -> None:
    groups = np.repeat([0, 1, 2], [100, 700, 200])
    held_out = split_by_fraction(groups, 0.2, 0, 7).validation
    assert np.abs(np.bincount(groups[held_out]) - [20, 140, 40]).max() <= 1


def test_the_seed_decides() -> None:
    groups = np.zeros(500, dtype=np.int64)
    one, again, other = (split_by_fraction(groups, 0.1, 0, seed).validation.tolist() for seed in (1, 1, 2))
    assert one == again
    assert one != other


def test_no_fraction_holds_none_out() -> None:
    parts = split_by_fraction(np.zeros(3, dtype=np.int64), 0, 0, 0)
    assert [part.tolist() for part in (parts.train, parts.validation, parts.test)] == [[0, 1, 2], [], []]


def test_a_fraction_of_less_than_a_row_is_refused() -> None:
    with pytest.raises(InvalidInput, match=r"validation: 0\.1 of 4 rows"):
        split_by_fraction(np.zeros(4, dtype=np.int64), 0.1, 0, 0)


@given(
    groups=st.lists(st.integers(0, 3), min_size=30, max_size=200),
    validation=st.floats(0.1, 0.4),
    test=st.floats(0.1, 0.4),
    seed=st.integers(0, 2**63 - 1),
)
def test_no_row_is_in_two_parts(groups: list[int], validation: float, test: float, seed: int) -> None:
    array = np.array(groups)
    parts = split_by_fraction(array, validation, test, seed)
    assert sorted([*parts.train, *parts.validation, *parts.test]) == list(range(len(groups)))
    assert set(array[parts.train]) == set(groups)
    assert 0 < len(parts.validation) <= round(len(groups) * validation)
    assert 0 < len(parts.test) <= round(len(groups) * test)


def test_rows_to_test_on_leave_the_others_in_proportion() -> None:
    groups = np.repeat([0, 1, 2], [100, 700, 200])
    parts = split_by_fraction(groups, 0.2, 0.1, 7)
    assert np.abs(np.bincount(groups[parts.test]) - [10, 70, 20]).max() <= 1
    assert np.abs(np.bincount(groups[parts.validation]) - [20, 140, 40]).max() <= 1


def test_a_column_says_which_rows_are_held_out() -> None:
    column = pa.chunked_array([["train", "Valid"], [" test", "TRAINING", "dev", "val", "testing", "validation"]])
    parts = split_by_column(column, "part")
    assert [part.tolist() for part in (parts.train, parts.validation, parts.test)] == [[0, 3], [1, 4, 5, 7], [2, 6]]


@pytest.mark.parametrize(
    ("values", "reason"),
    [
        (["train", "holdout"], "'part' has 'holdout' in row 1; the names of the parts are train, training, validation"),
        (["train", None], "'part' has None in row 1"),
        (["test", "val"], "'part' calls no row train"),
    ],
)
def test_a_column_that_says_something_else_is_refused(values: list[str | None], reason: str) -> None:
    with pytest.raises(InvalidInput, match=reason) as refused:
        split_by_column(pa.chunked_array([values]), "part")
    assert refused.value.field == "split"


@given(
    groups=st.lists(st.integers(0, 4), min_size=5, max_size=200),
    count=st.integers(2, 5),
    seed=st.integers(0, 2**63 - 1),
)
def test_folds_part_all_rows_and_each_class(groups: list[int], count: int, seed: int) -> None:
    array = np.array(groups)
    folds = [split_by_fold(array, (number, count), seed) for number in range(count)]
    assert sorted(np.concatenate([fold.validation for fold in folds])) == list(range(len(groups)))
    for fold in folds:
        assert sorted([*fold.train, *fold.validation]) == list(range(len(groups)))
        assert not len(fold.test)
    sizes = [np.bincount(array[fold.validation], minlength=5) for fold in folds]
    assert (np.max(sizes, axis=0) - np.min(sizes, axis=0)).max() <= 1


def test_more_folds_than_rows_are_refused() -> None:
    with pytest.raises(InvalidInput, match=r"^folds: 5: there are only 3 rows"):
        split_by_fold(np.zeros(3, dtype=np.int64), (0, 5), 1)
