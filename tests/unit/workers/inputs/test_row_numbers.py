"""Rows keep their numbers, however they are cut and picked."""

from __future__ import annotations

import random
from collections.abc import Iterator

import numpy as np
import pyarrow as pa
import pytest

from longshore.workers.inputs.row_numbers import NumberedRows, number, pick


def batches(*sizes: int) -> Iterator[pa.RecordBatch]:
    """Rows that hold their numbers, from 100 on."""
    start = 100
    for size in sizes:
        yield pa.record_batch({"n": np.arange(start, start + size)})
        start += size


def held(found: list[NumberedRows]) -> list[int]:
    """What the rows hold, which is what they must be numbered by."""
    for each in found:
        assert each.batch["n"].to_pylist() == each.rows.tolist()
    return [row for each in found for row in each.rows.tolist()]


def test_every_row_has_its_number() -> None:
    assert held(list(number(batches(3, 0, 2), 100))) == [100, 101, 102, 103, 104]


@pytest.mark.parametrize("numbers", [[], [100], [104], [102, 103], [100, 101, 102, 103, 104]])
def test_only_what_is_wanted_is_picked(numbers: list[int]) -> None:
    found = list(pick(batches(3, 0, 2), 100, numbers))
    assert held(found) == numbers
    assert all(len(each.rows) for each in found)


def test_any_rows_can_be_picked_from_any_batches() -> None:
    chance = random.Random(1)
    for _ in range(50):
        sizes = [chance.randrange(5) for _ in range(6)]
        numbers = [row for row in range(100, 100 + sum(sizes)) if chance.random() < 0.4]
        assert held(list(pick(batches(*sizes), 100, numbers))) == numbers


def test_nothing_is_read_after_the_last_row() -> None:
    reading = batches(2, 2, 2)
    assert held(list(pick(reading, 100, [101, 102]))) == [101, 102]
    assert next(reading)["n"].to_pylist() == [104, 105]
