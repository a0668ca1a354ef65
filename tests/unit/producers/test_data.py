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
        (["text"] * FEW, True),
        ([{"image": bytes(SMALL_BYTES // 2)}] * 2, True),
        ([{"image": bytes(SMALL_BYTES // 2)}] * 3, False),
        ([{"x": np.zeros(SMALL_BYTES // 8)}], True),
        ([{"x": np.zeros(SMALL_BYTES // 8)}, {}], False),
        ([{"x": [0.5] * 512}] * FEW, True),
        ([{"x": [0.5] * 513}] * FEW, False),
        ([dict.fromkeys(map(str, range(513)), 0.5)] * FEW, False),
        ({"text": ["x" * 4096] * FEW}, True),
        ({"text": ["x" * 4096] * FEW, "x": [1]}, False),
        ({"x": []}, True),
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
        (pd.DataFrame({"nbytes": [1, 2]}), False),
    ],
)
def test_few_rows_in_memory(data: Data, small: bool) -> None:
    assert is_small(data) is small
