from __future__ import annotations

import decimal

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from longshore.shared.datasets.inline import decode_block, encode_block, to_table
from longshore.shared.errors import CorruptBlob, InvalidInput

VALUES = st.none() | st.integers(-(2**63), 2**63 - 1)


def test_dicts_become_columns() -> None:
    table = to_table([{"a": 1, "b": [1.0, 2.0]}, {"b": np.array([3.0, 4.0]), "a": None}])
    assert table.to_pydict() == {"a": [1, None], "b": [[1.0, 2.0], [3.0, 4.0]]}


def test_dicts_may_hold_images_and_numpy_numbers() -> None:
    table = to_table([{"image": np.arange(4).reshape(2, 2), "x": np.float32(1.5)}])
    assert table.to_pydict() == {"image": [[[0, 1], [2, 3]]], "x": [1.5]}


@pytest.mark.parametrize("kind", ["float32", "float64", "float16", "uint8", "int64", "bool", ">f4", "longdouble"])
def test_an_array_becomes_one_column_of_flat_rows(kind: str) -> None:
    array = (np.arange(24) % 2).astype(kind).reshape(3, 2, 4)
    column = to_table(array).column("features")
    assert pa.types.is_fixed_size_list(column.type)
    assert column.type.list_size == 8
    assert column.to_pylist() == array.reshape(3, 8).tolist()
    assert to_table(array[:, ::2]).column("features").to_pylist() == array[:, ::2].reshape(3, 4).tolist()
    assert to_table(array[:, 0, 0]).column("features").to_pylist() == array[:, 0, 0].tolist()


def test_a_plain_array_is_not_copied() -> None:
    array = np.arange(6, dtype=np.float32).reshape(3, 2)
    values = to_table(array).column("features").chunk(0).values
    assert values.to_numpy().ctypes.data == array.ctypes.data


def test_a_dict_of_arrays() -> None:
    table = to_table(
        {"x": np.array([1, 2]), "image": np.zeros((2, 2, 2)), "name": np.array(["a", "b"]), "l": [1, None]}
    )
    assert table.to_pydict() == {"x": [1, 2], "image": [[0.0] * 4] * 2, "name": ["a", "b"], "l": [1, None]}


def test_arrow_and_pandas() -> None:
    table = pa.table({"a": [1, 2]})
    assert to_table(table) == table
    assert to_table(table.to_batches()[0]) == table
    frame = pd.DataFrame({"a": [1, 2], "s": ["x", None]}, index=[7, 8])
    converted = to_table(frame)
    assert converted.to_pydict() == {"a": [1, 2], "s": ["x", None]}
    assert converted.schema.metadata is None


def test_what_speaks_arrows_stream_interface_is_taken() -> None:
    class Foreign:
        def __arrow_c_stream__(self, requested_schema: object = None) -> object:
            return pa.table({"a": [1]}).__arrow_c_stream__(requested_schema)

    assert to_table(Foreign()).to_pydict() == {"a": [1]}


@pytest.mark.parametrize(
    ("rows", "said"),
    [
        ([], "no rows"),
        ([{}], "no columns"),
        ({}, "no columns"),
        ({"a": []}, "no rows"),
        (pa.table({"a": []}), "no rows"),
        (np.zeros((0, 3)), "shape (0, 3)"),
        (np.zeros((3, 0)), "shape (3, 0)"),
        (np.float32(1), "float32 is not a list of dicts"),
        (np.array(1.0), "shape ()"),
        (np.array([{}, 1]), "array of object"),
        (np.array(["a"]), "array of <U1"),
        (np.array([1j]), "array of complex128"),
        (np.ma.masked_array([1, 2], [False, True]), "masked array"),
        ([{"a": 1}, {"b": 1}], "row 1 lacks 'a'"),
        ([{"a": 1}, {"a": 1}, {"a": 1, "b": 2}], "row 2 has 'b'"),
        ([{}, {"a": 1}], "row 1 has 'a'"),
        ([{"a": 1}, [1]], "row 1 is list, not a dict"),
        ([[1, 2], [3]], "row 0 is list, not a dict"),
        ([{1: 2}], "the key 1 is not a string"),
        ([{"a": 1}, {"a": 2.5}, {"a": "x"}], "row 2, column 'a': 'x' does not fit"),
        ([{"a": 1}, {"a": 2**70}], "row 1, column 'a'"),
        ([{"a": object()}], "row 0, column 'a'"),
        ({"a": [1, 2], "b": [1]}, "different lengths: 'a' 2, 'b' 1"),
        ({"a": np.zeros(3), "b": np.zeros((2, 2))}, "different lengths"),
        ({"a": 1}, "column 'a' is int"),
        ({1: [1]}, "column name 1 is not a string"),
        ({"\ud800": [1]}, "is no text: it has half of a surrogate pair"),
        ([{"\ud800": 1}], "is no text: it has half of a surrogate pair"),
        (pa.table([[1], [2]], names=["a", "a"]), "2 columns are called 'a'"),
        (pd.DataFrame({"a": [1, "x"]}), "row 1, column 'a': 'x' does not fit"),
        ("rows", "str is not a list of dicts"),
        (None, "NoneType is not a list of dicts"),
    ],
)
def test_what_is_no_table_is_refused_with_the_reason(rows: object, said: str) -> None:
    with pytest.raises(InvalidInput) as error:
        to_table(rows)
    assert error.value.field.startswith("data")
    assert said in error.value.reason


@given(st.lists(st.tuples(VALUES, st.lists(st.floats(width=32), max_size=3), st.text()), min_size=1))
def test_blocks_come_back(rows: list[tuple[int | None, list[float], str]]) -> None:
    table = to_table([{"a": a, "l": values, "s": s} for a, values, s in rows])
    back = decode_block(encode_block(table))
    assert back.schema == table.schema
    assert repr(back.to_pylist()) == repr(table.to_pylist())


def test_a_block_holds_only_its_slice() -> None:
    table = pa.table({"a": np.zeros(100_000)})
    block = encode_block(table.slice(50, 10))
    assert len(block) < 2000
    assert decode_block(block).num_rows == 10


def test_unusual_types_come_back() -> None:
    table = pa.table({"d": [decimal.Decimal("1.5")], "e": pa.array(["x"]).dictionary_encode()})
    assert decode_block(encode_block(table)) == table


@pytest.mark.parametrize("content", [b"", b"not a stream", b"\x80\x04K\x01."])
def test_what_is_no_block_is_refused(content: bytes) -> None:
    with pytest.raises(CorruptBlob, match="damaged"):
        decode_block(content)


def test_half_a_block_is_refused() -> None:
    block = encode_block(pa.table({"a": list(range(1000))}))
    with pytest.raises(CorruptBlob, match="damaged"):
        decode_block(block[: len(block) // 2])


def test_a_value_that_is_nested_too_deeply_is_refused() -> None:
    value: list[object] = []
    # Arrow takes a time that grows with the square of the depth.
    for _ in range(2_000):
        value = [value]
    with pytest.raises(InvalidInput, match=r"^data: a value is nested too deeply"):
        to_table([{"a": value}])
