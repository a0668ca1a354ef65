from __future__ import annotations

import math
from decimal import Decimal
from statistics import NormalDist

import numpy as np
import pyarrow as pa
import pytest

from longshore.shared.datasets.columns.column import Column
from longshore.shared.datasets.preprocess.encode import encode_column
from longshore.shared.datasets.preprocess.scaling import MAX_POINTS, quantile_points, scaled
from longshore.shared.specs.signature import Feature
from longshore.shared.specs.transforms import NumberTransform

NAN, INFINITE = math.nan, math.inf


def encode(array: pa.Array, offset: float | None = None, **options: object) -> Column:
    transform = NumberTransform.model_validate(options)
    offsets = None if offset is None else (offset,)
    return encode_column(array, Feature(name="x", transform=transform, offsets=offsets))


@pytest.mark.parametrize(
    "array",
    [
        pa.array([1.5, None, NAN, -2.0]),
        pa.array([1.5, None, NAN, -2.0], pa.float32()),
        pa.array([1.5, None, NAN, -2.0], pa.float16()),
        pa.array(["1.5", None, "NA", " -2 "]),
        pa.array(["1.5", "", "nan", "-2e0"], pa.large_string()),
        pa.array([1.5, None, None, -2.0]).dictionary_encode(),
        pa.array([Decimal("1.50"), None, None, Decimal("-2")]),
    ],
    ids=lambda array: str(array.type),
)
def test_missing_numbers_are_replaced_and_marked(array: pa.Array) -> None:
    made = encode(array, fill=9, indicator=True)
    assert made.values.tolist() == [[1.5, 0], [9, 1], [9, 1], [-2, 0]]
    assert made.values.dtype == np.float32
    assert made.errors == {}
    assert encode(array, fill=0.0).values.tolist() == [[1.5], [0], [0], [-2]]
    strict = encode(array)
    assert strict.errors == dict.fromkeys([1, 2], "no value, and the version does not replace missing ones")
    assert strict.values.tolist() == [[1.5], [0], [0], [-2]]


def test_booleans_and_nulls_are_numbers() -> None:
    assert encode(pa.array([True, None, False]), fill=5).values.tolist() == [[1], [5], [0]]
    assert encode(pa.array([None, None]), fill=5, indicator=True).values.tolist() == [[5, 1]] * 2
    assert encode(pa.array([], pa.float64()), fill=5, indicator=True).values.shape == (0, 2)


def test_texts_that_are_no_numbers_are_errors_and_not_missing() -> None:
    texts = pa.array([b"1", b"soon", b"caf\xe9", None], pa.binary())
    broken = pa.Array.from_buffers(pa.string(), len(texts), texts.buffers())
    made = encode(broken, fill=7, indicator=True)
    assert made.errors == {1: "'soon' is not a number", 2: "'caf\N{REPLACEMENT CHARACTER}' is not a number"}
    assert made.values.tolist() == [[1, 0], [0, 0], [0, 0], [7, 1]]


def test_a_column_of_another_type_is_refused() -> None:
    with pytest.raises(TypeError, match="timestamp"):
        encode(pa.array([1], pa.timestamp("us")), fill=0)


def test_a_logarithm_keeps_the_sign_and_numbers_beyond_32_bits() -> None:
    values = [0.0, 1.0, -1.0, 1e-30, 1e300, -1e300]
    made = encode(pa.array([*values, None]), fill=math.e - 1, indicator=True, scale="log")
    expected = [math.copysign(math.log1p(abs(value)), value) for value in values]
    np.testing.assert_allclose(made.values[:, 0], [*expected, 1.0], rtol=1e-6)
    assert made.values[:, 1].tolist() == [0] * 6 + [1]
    # Infinities are not replaced: the matrix refuses them as it does in any other column.
    assert encode(pa.array([INFINITE, -INFINITE]), scale="log").values.tolist() == [[INFINITE], [-INFINITE]]


def test_offsets_are_subtracted_in_64_bits_and_from_replaced_values_too() -> None:
    made = encode(pa.array([1.7e9 + 1, 1.7e9 + 2, None]), offset=1.7e9, fill=1.7e9 + 5)
    assert made.values.tolist() == [[1], [2], [5]]


def test_quantiles_are_linear_between_points_and_constant_outside() -> None:
    points = ((0.0, -1.0), (10.0, 0.0), (20.0, 3.0))
    made = encode(pa.array([-5.0, 0.0, 5.0, 10.0, 15.0, 99.0]), scale="quantile", points=points)
    assert made.values[:, 0].tolist() == [-1, -1, -0.5, 0, 1.5, 3]
    infinite = encode(pa.array([INFINITE, -INFINITE]), scale="quantile", points=points)
    assert infinite.values.tolist() == [[INFINITE], [-INFINITE]]


def test_the_points_are_ranks_with_their_normal_scores() -> None:
    values = np.random.default_rng(0).permutation(np.arange(1001.0))
    points = quantile_points(values)
    assert len(points) == MAX_POINTS
    at, scores = np.array(points).T
    assert (np.diff(at) > 0).all()
    assert (np.diff(scores) > 0).all()
    # The outer points stand for a share of 0.0001; others for their rank.
    assert scores[0] == pytest.approx(NormalDist().inv_cdf(1e-4))
    assert scores[-1] == pytest.approx(-scores[0])
    for value, score in points[1:-1]:
        assert NormalDist().cdf(score) == pytest.approx(value / 1000, abs=1e-9)


@pytest.mark.parametrize("values", [[5.0], [5.0, 5.0, 5.0], [0.0] * 90 + [1.0] * 10, [-1e308, 0.0, 1e308]])
def test_the_points_of_few_different_values(values: list[float]) -> None:
    points = quantile_points(np.array(values))
    at, scores = np.array(points).T
    assert set(values) <= set(at)
    assert (np.diff(scores) > 0).all()
    assert np.isfinite(scaled(np.array(values), "quantile", points)).all()
    if len(set(values)) == 1:
        assert scores[0] == pytest.approx(0)
