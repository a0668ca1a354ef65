"""The arrays that are run as they are."""

from __future__ import annotations

import numpy as np
import pytest

from longshore.shared.datasets.columns.arrays import plain_rows, rename_to
from longshore.shared.datasets.inline import to_table
from longshore.shared.specs.signature import Feature, Signature

LISTS = Signature(features=(Feature(name="x", width=3),), task="regression", target="y")
ROWS = np.arange(6, dtype=np.float32).reshape(2, 3)


def test_the_table_is_that_of_any_other_array() -> None:
    found = plain_rows(ROWS, LISTS, 10)
    assert found is not None
    assert found.equals(rename_to(to_table(ROWS), LISTS, "m:1"))
    assert found.schema.equals(rename_to(to_table(ROWS), LISTS, "m:1").schema)


def test_rows_that_are_not_laid_out_so_are_copied() -> None:
    found = plain_rows(np.asfortranarray(ROWS)[::-1], LISTS, 10)
    assert found is not None
    assert found.column("x").to_pylist() == ROWS[::-1].tolist()


@pytest.mark.parametrize(
    "rows",
    [
        ROWS.astype(np.float64),
        ROWS.reshape(1, 2, 3),
        ROWS[:, :2],
        ROWS[:0],
        np.ma.MaskedArray(ROWS),
        ROWS.tolist(),
        np.where(ROWS == 4, np.nan, ROWS).astype(np.float32),
        np.where(ROWS == 4, np.inf, ROWS).astype(np.float32),
    ],
)
def test_anything_else_is_looked_at_closely(rows: object) -> None:
    assert plain_rows(rows, LISTS, 10) is None


def test_only_the_first_rows_are_looked_at() -> None:
    rows = np.vstack([ROWS, np.full((1, 3), np.nan, np.float32)])
    assert plain_rows(rows, LISTS, 2) is not None


def test_a_version_of_several_columns_is_none_of_it() -> None:
    two = Signature(features=(Feature(name="x", width=2), Feature(name="z")), task="regression", target="y")
    assert plain_rows(ROWS, two, 10) is None
