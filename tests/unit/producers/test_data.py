"""Which data is small."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest

from longshore.producers.data import SMALL_BYTES, SMALL_ROWS, Data, is_small

FEW, MANY = SMALL_ROWS, SMALL_ROWS + 1


@pytest.mark.parametrize(
    ("data", "small"),
    [
        ("rows.csv", False),
        (Path("rows.csv"), False),
        ([{"x": 1}] * FEW, True),
        ([{"x": 1}] * MANY, False),
        ([], True),
        ({"x": [1] * FEW, "y": [2] * FEW}, True),
        ({"x": [1] * FEW, "y": [2] * MANY}, False),
        ({"x": np.zeros(3)}, False),
        (np.zeros((FEW, 2)), True),
        (np.zeros((MANY, 2)), False),
        (np.zeros((1, SMALL_BYTES // 8 + 1)), False),
        (np.float64(1), False),
        (pa.table({"x": [1] * FEW}), True),
        (pa.table({"x": [1] * MANY}), False),
        (pa.record_batch({"x": [1]}), True),
        (pd.DataFrame({"x": [1]}), False),
    ],
)
def test_few_rows_in_memory(data: Data, small: bool) -> None:
    assert is_small(data) is small
