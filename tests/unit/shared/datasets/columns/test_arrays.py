from __future__ import annotations

import numpy as np
import pyarrow as pa
import pytest

from longshore.shared.datasets.columns.arrays import rename_to
from longshore.shared.datasets.columns.matrix import to_matrix
from longshore.shared.datasets.inline import to_table
from longshore.shared.datasets.schemas import check_schema
from longshore.shared.errors import InvalidInput
from longshore.shared.specs.signature import Feature, Signature


def signature(*features: Feature) -> Signature:
    return Signature(features=features, task="regression", target="y")


LIST = signature(Feature(name="pixels", width=4))
SCALARS = signature(*(Feature(name=name) for name in "abcd"))
MIXED = signature(Feature(name="a"), Feature(name="l", width=2), Feature(name="b"))
ONE = signature(Feature(name="a"))


@pytest.mark.parametrize("target", [LIST, SCALARS, MIXED])
@pytest.mark.parametrize("kind", ["float32", "uint8", "bool"])
def test_an_array_meets_the_columns_of_a_version(target: Signature, kind: str) -> None:
    array = (np.arange(12) % 2).astype(kind).reshape(3, 2, 2)
    table = rename_to(to_table(array), target, "digits:3")
    check_schema(table.schema, target)
    made = to_matrix(table.to_batches()[0], target)
    assert made.values.tolist() == array.reshape(3, 4).astype(np.float32).tolist()
    assert made.errors == {}


@pytest.mark.parametrize("array", [np.arange(3.0), np.arange(3.0)[:, None]])
def test_one_number_a_row(array: np.ndarray) -> None:
    table = rename_to(to_table(array), ONE, "digits:3")
    check_schema(table.schema, ONE)
    assert table.to_pydict() == {"a": [0, 1, 2]}


def test_a_list_column_keeps_its_memory() -> None:
    array = np.arange(8, dtype=np.float32).reshape(2, 4)
    table = rename_to(to_table(array), LIST, "digits:3")
    assert to_matrix(table.to_batches()[0], LIST).values.ctypes.data == array.ctypes.data


@pytest.mark.parametrize("target", [LIST, SCALARS, MIXED])
@pytest.mark.parametrize(("shape", "given"), [((3, 5), r"\(5,\)"), ((4,), r"\(\)"), ((2, 8), r"\(8,\)")])
def test_another_width_is_refused(target: Signature, shape: tuple[int, ...], given: str) -> None:
    with pytest.raises(InvalidInput, match=rf"data: rows of shape {given}, but digits:3 takes \(4,\)"):
        rename_to(to_table(np.zeros(shape)), target, "digits:3")


def test_tables_with_names_of_their_own_are_left_alone() -> None:
    for table, target in [
        (pa.table({"pixels": [1]}), LIST),
        (pa.table({"features": [1], "more": [2]}), LIST),
        (to_table(np.zeros((2, 2))), signature(Feature(name="features", width=2))),
        (pa.table({"features": ["text"]}), LIST),
    ]:
        assert rename_to(table, target, "digits:3") is table
