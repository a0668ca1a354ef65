from __future__ import annotations

import decimal
import math

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from longshore.shared.datasets.columns.matrix import FeatureMatrix, to_matrix
from longshore.shared.errors import DataError
from longshore.shared.specs.signature import Feature, Signature


def signature(**widths: int | None) -> Signature:
    features = tuple(Feature(name=name, width=width) for name, width in widths.items())
    return Signature(features=features, task="regression", target="y")


def matrix(array: pa.Array, width: int | None = None) -> FeatureMatrix:
    made = to_matrix(pa.record_batch({"x": array}), signature(x=width))
    assert made.values.dtype == np.float32
    assert made.values.flags.c_contiguous
    assert made.values.shape == (len(array), width or 1)
    assert not made.values[list(made.errors)].any()
    return made


def test_float32_lists_are_taken_as_they_lie_in_memory() -> None:
    array = pa.FixedSizeListArray.from_arrays(pa.array(np.arange(6, dtype=np.float32)), 2)
    made = matrix(array, 2)
    assert made.values.ctypes.data == array.values.to_numpy().ctypes.data
    part = matrix(array.slice(1), 2)
    assert part.values.tolist() == [[2, 3], [4, 5]]
    assert part.values.ctypes.data == array.values.to_numpy()[2:].ctypes.data


def test_a_bad_row_does_not_reach_into_the_batch() -> None:
    array = pa.FixedSizeListArray.from_arrays(pa.array(np.array([1, math.nan, 3, 4], np.float32)), 2)
    made = matrix(array, 2)
    assert made.values.tolist() == [[0, 0], [3, 4]]
    assert made.errors == {0: "column 'x': nan at position 1 is not a finite float32"}
    assert math.isnan(array.values[1].as_py())


@pytest.mark.parametrize(
    "array",
    [
        pa.array([1, 0], pa.int8()),
        pa.array([1, 0], pa.uint64()),
        pa.array([1, 0], pa.float64()),
        pa.array([1, 0], pa.float32()),
        pa.array(np.array([1, 0], np.float16)),
        pa.array([True, False]),
        pa.array([decimal.Decimal("1.00"), decimal.Decimal(0)]),
        pa.array([1, 0]).dictionary_encode(),
        pa.array(["1", "0.0"]),
        pa.array(["1", "0.0"], pa.large_string()),
    ],
    ids=lambda array: str(array.type),
)
def test_numbers_of_all_kinds(array: pa.Array) -> None:
    assert matrix(array).values.tolist() == [[1], [0]]
    assert matrix(array).errors == {}
    gap = pa.concat_arrays([array, pa.nulls(1, array.type)])
    assert matrix(gap).values.tolist() == [[1], [0], [0]]
    assert matrix(gap).errors == {2: "column 'x': null"}


NESTED = pa.list_(pa.list_(pa.uint8()))


@pytest.mark.parametrize(
    ("array", "width"),
    [
        (pa.array([[1, 2], [3, 4]]), 2),
        (pa.array([[1, 2], [3, 4]], pa.list_(pa.uint8(), 2)), 2),
        (pa.array([[1, 2], [3, 4]], pa.large_list(pa.float64())), 2),
        (pa.array([[1, 2], [3, 4]], pa.list_view(pa.int16())), 2),
        (pa.array([[[1, 2]], [[3], [4]]], NESTED), 2),
        (pa.array([[[1], [2]], [[3], [4]]], pa.list_(pa.list_(pa.uint8(), 1), 2)), 2),
        (pa.FixedShapeTensorArray.from_numpy_ndarray(np.array([[[1.0, 2.0]], [[3.0, 4.0]]])), 2),
    ],
    ids=lambda value: str(getattr(value, "type", value)),
)
def test_lists_of_all_kinds(array: pa.Array, width: int) -> None:
    made = matrix(array, width)
    assert made.values.tolist() == [[1, 2], [3, 4]]
    assert made.errors == {}
    assert matrix(array.slice(1), width).values.tolist() == [[3, 4]]
    assert matrix(array.slice(0, 0), width).errors == {}


def test_bad_lists_are_named_with_the_reason() -> None:
    array = pa.array([[1, 2], [1], None, [1, None], [], [5, 6]], pa.list_(pa.float32()))
    made = matrix(array, 2)
    assert made.values.tolist() == [[1, 2], [0, 0], [0, 0], [0, 0], [0, 0], [5, 6]]
    assert made.errors == {
        1: "column 'x': a list of length 1, not 2",
        2: "column 'x': null",
        3: "column 'x': a null in the list",
        4: "column 'x': a list of length 0, not 2",
    }


def test_nulls_at_any_depth_are_found() -> None:
    made = matrix(pa.array([[[1], [2]], [[3, 4]], [[3], None, [4]], None, [[1, 2, 3]], [[None, 1]]], NESTED), 2)
    assert made.values[:2].tolist() == [[1, 2], [3, 4]]
    assert sorted(made.errors) == [2, 3, 4, 5]
    fixed = matrix(pa.array([[[1], [2]], [[3], None]], pa.list_(pa.list_(pa.uint8(), 1))), 2)
    assert fixed.errors == {1: "column 'x': a null in the list"}


def test_text_that_is_no_number() -> None:
    made = matrix(pa.array(["1.5", "abc", None, "nan", "1e999", " 2 ", "1_0", ""]))
    assert made.values.ravel().tolist() == [1.5, 0, 0, 0, 0, 2, 0, 0]
    assert sorted(made.errors) == [1, 2, 3, 4, 6, 7]
    assert made.errors[1] == "column 'x': 'abc' is not a number"


def test_numbers_too_large_for_float32() -> None:
    assert sorted(matrix(pa.array([1e300, -1e300, 3e38, 1.0])).errors) == [0, 1]


def test_finite_rows_whose_sum_is_not_are_good() -> None:
    array = pa.array([[3e38, 3e38], [1, math.inf]], pa.list_(pa.float32(), 2))
    assert sorted(matrix(array, 2).errors) == [1]


@given(
    st.lists(
        st.tuples(
            st.none() | st.floats(width=32),
            st.none() | st.integers(-(2**63), 2**63 - 1),
            st.none() | st.lists(st.none() | st.floats(width=32), min_size=2, max_size=4),
        ),
        max_size=20,
    )
)
def test_several_columns_lie_side_by_side(
    rows: list[tuple[float | None, int | None, list[float | None] | None]],
) -> None:
    batch = pa.record_batch(
        {
            "f": pa.array([row[0] for row in rows], pa.float32()),
            "l": pa.array([row[2] for row in rows], pa.list_(pa.float32())),
            "i": pa.array([row[1] for row in rows], pa.int64()),
        }
    )
    made = to_matrix(batch, signature(f=None, i=None, l=3))
    assert made.values.shape == (len(rows), 5)
    assert list(made.errors) == sorted(made.errors)
    for number, (f, i, values) in enumerate(rows):
        flat = [f, i, *(values or [])]
        good = len(flat) == 5 and all(value is not None and math.isfinite(value) for value in flat)
        assert (number not in made.errors) == good
        expected = np.array(flat if good else [0] * 5, np.float64).astype(np.float32)
        assert made.values[number].tolist() == expected.tolist()


def test_many_columns_keep_their_order() -> None:
    names = [f"c{number}" for number in range(50)]
    batch = pa.record_batch({name: pa.array([number, -number]) for number, name in enumerate(names)})
    made = to_matrix(batch, signature(**dict.fromkeys(reversed(names))))
    assert made.values[0].tolist() == [float(number) for number in reversed(range(50))]


@pytest.mark.parametrize(
    ("array", "width", "said"),
    [
        (pa.array(["a"]), 2, "text"),
        (pa.array([[1]]), None, "lists of numbers, not numbers"),
        (pa.array([1]), 2, "one number per row"),
        (pa.array([["a"]]), 1, "list<item: string>"),
    ],
)
def test_a_column_of_another_kind_is_the_datas_fault(array: pa.Array, width: int | None, said: str) -> None:
    with pytest.raises(DataError, match=f"column 'x' has .*{said}"):
        matrix(array, width)


def test_a_missing_column() -> None:
    with pytest.raises(DataError, match="no column 'z'"):
        to_matrix(pa.record_batch({"x": [1]}), signature(x=None, z=None))
