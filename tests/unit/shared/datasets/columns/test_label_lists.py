"""Columns of lists of labels."""

from __future__ import annotations

import pyarrow as pa
import pytest

from longshore.shared.datasets.columns.label_lists import holds_texts, is_label_lists, read_label_lists
from longshore.shared.datasets.schemas import check_held_out
from longshore.shared.errors import InvalidInput
from longshore.shared.specs.signature import Feature

LISTS = [["b", "a"], [], ["a"], ["c", "b", "c"]]


@pytest.mark.parametrize(
    "kind",
    [
        pa.list_(pa.string()),
        pa.large_list(pa.large_string()),
        pa.list_view(pa.string()),
        pa.list_(pa.dictionary(pa.int8(), pa.string())),
    ],
)
def test_labels_are_taken_out_of_their_lists_also_of_a_slice(kind: pa.DataType) -> None:
    column = pa.array(LISTS, kind)
    assert holds_texts(kind)
    assert is_label_lists(kind, "auto")
    found = read_label_lists(column.slice(2), "y")
    assert (found.labels.to_pylist(), found.rows.tolist()) == (["a", "c", "b", "c"], [0, 1, 1, 1])
    whole = read_label_lists(column, "y")
    assert (whole.labels.to_pylist(), whole.rows.tolist()) == (["b", "a", "a", "c", "b", "c"], [0, 0, 2, 3, 3, 3])


def test_lists_of_numbers_are_labels_only_if_that_is_said() -> None:
    kind = pa.list_(pa.int32())
    assert not is_label_lists(kind, "auto")
    assert is_label_lists(kind, "multilabel")
    assert read_label_lists(pa.array([[3], [], [1, 2]], kind), "y").labels.to_pylist() == [3, 1, 2]
    assert read_label_lists(pa.array([[], []]), "y").labels.to_pylist() == []


@pytest.mark.parametrize(
    ("column", "said"),
    [
        (pa.array(["a;b"]), "has text .*, but multilabel needs lists of labels; give them as JSON Lines, Parquet"),
        (pa.array([[True, False]]), "lists of booleans; give lists of the labels that apply"),
        (pa.array([[["a"]]]), "labels must be strings or integers"),
        (pa.array([["a"], ["b", None], [None]]), r"a list with a null in row 8 of test \(and in 1 more\)"),
    ],
)
def test_what_is_no_list_of_labels_is_refused(column: pa.Array, said: str) -> None:
    with pytest.raises(InvalidInput, match=f"^target: column 'y' .*{said}"):
        read_label_lists(column, "y", 7, " of test")


@pytest.mark.parametrize(
    ("trained", "held_out", "fits"),
    [
        (pa.list_(pa.string()), pa.large_list(pa.string()), True),
        (pa.list_(pa.string()), pa.list_(pa.null()), True),
        (pa.list_(pa.string()), pa.list_(pa.int64()), False),
        (pa.list_(pa.int64()), pa.list_(pa.string()), False),
        (pa.list_(pa.string()), pa.string(), False),
        (pa.list_(pa.float32()), pa.list_(pa.float64()), True),
    ],
)
def test_rows_that_are_held_out_have_lists_of_the_same(trained: pa.DataType, held_out: pa.DataType, fits: bool) -> None:
    schema = pa.schema([("x", pa.float32()), ("y", held_out)])

    def check() -> None:
        check_held_out(schema, (Feature(name="x"),), "y", trained, "validation")

    if fits:
        check()
        return
    with pytest.raises(InvalidInput, match=r"^validation: the target 'y' has"):
        check()
