"""Standardisation as a layer."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import torch
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from longshore.workers.families.standardize import Standardize

FINITE = st.floats(-1e6, 1e6, width=32)


def measure(rows: npt.NDArray[np.float32]) -> Standardize:
    return Standardize.measure(torch.from_numpy(rows), torch.arange(len(rows)))


def test_columns_come_to_mean_0_and_deviation_1() -> None:
    rows = np.random.default_rng(0).normal([3, -100], [0.1, 50], (20_000, 2)).astype(np.float32)
    scaled = measure(rows)(torch.from_numpy(rows)).numpy().astype(np.float64)
    np.testing.assert_allclose(scaled.mean(axis=0), 0, atol=1e-4)
    np.testing.assert_allclose(scaled.std(axis=0), 1, atol=1e-4)


def test_a_small_spread_far_from_zero_is_kept() -> None:
    rows = np.array([[1e6], [1e6 + 1]], dtype=np.float32)
    assert measure(rows)(torch.from_numpy(rows)).flatten().tolist() == [-1, 1]


def test_an_outlier_in_the_first_row_spoils_nothing() -> None:
    rows = np.random.default_rng(1).normal(size=(100_000, 1)).astype(np.float32)
    rows[0] = 1e9
    layer = measure(rows)
    assert layer.mean.item() == np.float32(rows.mean(dtype=np.float64))
    assert layer.std.item() == np.float32(rows.std(dtype=np.float64))


def test_a_constant_column_becomes_zero() -> None:
    rows = np.full((10_000, 1), 0.1, dtype=np.float32)
    layer = measure(rows)
    assert layer.std.tolist() == [1]
    assert not layer(torch.from_numpy(rows)).any()


def test_only_the_named_rows_are_measured() -> None:
    rows = np.array([[1], [1000], [3]], dtype=np.float32)
    layer = Standardize.measure(torch.from_numpy(rows), torch.tensor([0, 2]))
    assert (layer.mean.tolist(), layer.std.tolist()) == ([2], [1])


@given(hnp.arrays(np.float32, st.tuples(st.integers(1, 30), st.integers(1, 4)), elements=FINITE))
def test_in_place_gives_the_same_bits_and_finite_ones(rows: npt.NDArray[np.float32]) -> None:
    layer = measure(rows)
    before = rows.copy()
    scaled = layer(torch.from_numpy(rows))
    assert np.array_equal(rows, before)
    assert torch.isfinite(scaled).all()
    layer.apply_(torch.from_numpy(rows))
    assert np.array_equal(rows, scaled.numpy())
