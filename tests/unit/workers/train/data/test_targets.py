"""The column to predict."""

from __future__ import annotations

from decimal import Decimal

import numpy as np
import pyarrow as pa
import pytest

from longshore.shared.errors import InvalidInput
from longshore.workers.train.data.targets import Targets, make_target_encoder, read_targets


def read(values: pa.Array, task: str = "auto") -> Targets:
    return read_targets(pa.chunked_array([values.slice(0, 1), values.slice(1)]), "y", task)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("values", "labels", "codes"),
    [
        (pa.array(["b", "a", "b"]), ("a", "b"), [1, 0, 1]),
        (pa.array(["b", "a"], pa.large_string()), ("a", "b"), [1, 0]),
        (pa.array(["b", "a", "b"]).dictionary_encode(), ("a", "b"), [1, 0, 1]),
        (pa.array([True, False]), (False, True), [1, 0]),
        (pa.array([10, -2, 10], pa.int8()), (-2, 10), [1, 0, 1]),
        (pa.array([2**64 - 1, 0], pa.uint64()), (0, 2**64 - 1), [1, 0]),
    ],
)
def test_strings_booleans_and_integers_are_labels(
    values: pa.Array, labels: tuple[str | int | bool, ...], codes: list[int]
) -> None:
    targets = read(values)
    assert (targets.task, targets.labels, targets.values.tolist()) == ("classification", labels, codes)
    assert [type(label) for label in targets.labels or ()] == [type(label) for label in labels]
    assert targets.outputs == len(labels)


@pytest.mark.parametrize(
    "values", [pa.array([0.5, 2]), pa.array([Decimal("0.5"), Decimal(2)]), pa.array([0.5, 2], pa.float32())]
)
def test_floats_are_quantities(values: pa.Array) -> None:
    targets = read(values)
    assert (targets.task, targets.labels, targets.outputs) == ("regression", None, 1)
    assert targets.values.dtype == np.float32
    assert targets.values.tolist() == [0.5, 2]


def test_integers_of_many_values_are_quantities_unless_said_otherwise() -> None:
    many = pa.array(range(1001))
    assert read(many.slice(1)).task == "classification"
    assert read(many).task == "regression"
    assert read(many, "classification").outputs == 1001


def test_the_task_can_be_said() -> None:
    assert read(pa.array([1, 2]), "regression").values.tolist() == [1, 2]
    assert read(pa.array([True, False]), "regression").values.tolist() == [1, 0]
    assert read(pa.array([1.0, 3.0, 1.0]), "classification").labels == (1, 3)


@pytest.mark.parametrize(
    ("values", "task", "field", "reason"),
    [
        (pa.array(["a", None, None]), "auto", "target", r"'y' has no value in row 1 \(and 1 rows more\)"),
        (pa.array([1.0, float("nan")]), "auto", "target", "not a finite 32-bit float in row 1;"),
        (pa.array([1e300, 1.0]), "auto", "target", "not a finite 32-bit float in row 0;"),
        (pa.array(["a", "a"]), "auto", "target", "the one label 'a'"),
        (pa.array(["a", "b\0"]), "auto", "target", "NUL"),
        (pa.array([{"a": 1}, {"a": 2}]), "auto", "target", "holds struct"),
        (pa.array(["a", "b"]), "regression", "task", "regression needs numbers"),
        (pa.array([0.5, 1.0]), "classification", "task", "not whole"),
    ],
)
def test_what_cannot_be_predicted_is_refused(values: pa.Array, task: str, field: str, reason: str) -> None:
    with pytest.raises(InvalidInput, match=reason) as refused:
        read(values, task)
    assert refused.value.field == field


def test_a_column_of_ids_is_refused() -> None:
    with pytest.raises(InvalidInput, match=r"100001 labels.*an id"):
        read(pa.array(range(100_001)), "classification")


@pytest.mark.parametrize(
    "values",
    [
        pa.array([[1, 2], [3, 4], [5, 6]]),
        pa.array([[1.0, 2.0], [3.0, 4.0], [5.0, 6.0]], pa.list_(pa.float32(), 2)),
        pa.array([[1.0, 2.0], [3.0, 4.0], [5.0, 6.0]], pa.large_list(pa.float64())),
    ],
)
def test_lists_of_numbers_are_several_quantities(values: pa.Array) -> None:
    targets = read(values)
    assert (targets.task, targets.labels, targets.outputs, targets.width) == ("regression", None, 2, 2)
    assert targets.values.tolist() == [[1, 2], [3, 4], [5, 6]]


@pytest.mark.parametrize(
    ("values", "reason"),
    [
        (pa.array([[1.0, 2.0], [3.0]]), "column 'y': .* in row 1; correct"),
        (pa.array([[1.0, 2.0], [3.0, None]]), "column 'y': .* in row 1; correct"),
        (pa.array([[1.0, 2.0], None]), "'y' has no value in row 1;"),
        (pa.array([[1.0, 2.0], [3.0, float("nan")]]), "'y' is not made of finite 32-bit floats in row 1;"),
        (pa.array([[], []], pa.list_(pa.int64())), "empty list"),
        (pa.array([[b"a"], [b"b"]]), "by regression"),
    ],
)
def test_lists_that_cannot_be_predicted_are_refused(values: pa.Array, reason: str) -> None:
    with pytest.raises(InvalidInput, match=f"target: .*{reason}"):
        read(values)


@pytest.mark.parametrize(
    ("values", "task", "labels", "rows"),
    [
        (pa.array([["b", "a"], [], ["a", "a"]]), "auto", ("a", "b"), [[1, 1], [0, 0], [1, 0]]),
        (pa.array([[], ["a"]], pa.large_list(pa.large_string())), "multilabel", ("a",), [[0], [1]]),
        (pa.array([[3, 1], [], [300]]), "multilabel", (1, 3, 300), [[1, 1, 0], [0, 0, 0], [0, 0, 1]]),
        (pa.array([[3.0, 1.0], [1.0]]), "multilabel", (1, 3), [[1, 1], [1, 0]]),
    ],
)
def test_lists_of_labels_are_sets(
    values: pa.Array, task: str, labels: tuple[str | int, ...], rows: list[list[int]]
) -> None:
    targets = read(values, task)
    assert (targets.task, targets.labels, targets.outputs, targets.width) == ("multilabel", labels, len(labels), None)
    assert targets.values.dtype == np.bool_
    assert targets.values.astype(int).tolist() == rows


@pytest.mark.parametrize(
    ("values", "task", "reason"),
    [
        (pa.array([["a"], None, None]), "auto", r"'y' has no value in row 1 \(and 1 rows more\)"),
        (pa.array([["a"], ["a", None]]), "auto", "a list with a null in row 1;"),
        (pa.array([[], []], pa.list_(pa.string())), "auto", "an empty list in every row"),
        (pa.array([["a"], ["b\0"]]), "auto", "NUL"),
        (pa.array([["a"], ["b"]]), "classification", "lists of labels by multilabel"),
        (pa.array([["a"], ["b"]]), "embedding", "lists of labels by multilabel"),
        (pa.array(["a", "b"]), "multilabel", "needs lists of labels"),
        (pa.array([[str(n) for n in range(10_001)], []]), "auto", "10001 labels; a model has at most 10000"),
        (pa.array(["a", "a"]), "embedding", "the one label 'a'; an embedding needs two or more"),
    ],
)
def test_labels_that_cannot_be_learned_are_refused(values: pa.Array, task: str, reason: str) -> None:
    with pytest.raises(InvalidInput, match=f"target: .*{reason}"):
        read(values, task)


def test_labels_that_are_no_label_of_any_row_are_refused_by_row() -> None:
    encoder = make_target_encoder(pa.chunked_array([pa.array([["a"], ["b"]])]), "y", "auto")
    more = pa.chunked_array([pa.array([["a"], []]), pa.array([["b", "z"]])])
    with pytest.raises(InvalidInput, match=r"^target: column 'y' has 'z' in row 12 of test, and in no row to train on"):
        encoder.encode(more, 10, " of test")
    assert encoder.encode(pa.chunked_array([pa.array([[], []])])).tolist() == [[False, False]] * 2


def test_an_embedding_s_classes_can_be_widened_by_rows_that_are_held_out() -> None:
    encoder = make_target_encoder(pa.chunked_array([pa.array([3, 1, 3], pa.int8())]), "y", "embedding")
    assert (encoder.task, encoder.labels) == ("embedding", (1, 3))
    wide = encoder.with_labels_of(pa.chunked_array([pa.array([300, 1, None])]))
    assert wide.labels == (1, 3, 300)
    assert wide.encode(pa.chunked_array([pa.array([300, 3])])).tolist() == [2, 1]
    assert wide.encode(pa.chunked_array([pa.array([3], pa.int8())])).tolist() == [1]


@pytest.mark.parametrize(
    ("labels", "column", "row"),
    [
        (pa.array([300, 1]), pa.array([1, 44], pa.int8()), 1),
        (pa.array([2**64 - 1, 1], pa.uint64()), pa.array([1, -1]), 1),
        (pa.array([-1, 1]), pa.array([1, 2**64 - 1], pa.uint64()), 1),
    ],
)
def test_labels_of_another_integer_type_are_compared_by_value(labels: pa.Array, column: pa.Array, row: int) -> None:
    encoder = make_target_encoder(pa.chunked_array([labels]), "y", "auto")
    assert encoder.encode(pa.chunked_array([column.slice(0, 1)])).tolist() == [(encoder.labels or ()).index(1)]
    with pytest.raises(InvalidInput, match=f"in row {row}"):
        encoder.encode(pa.chunked_array([column]))


def test_labels_that_are_not_exact_as_floats_are_refused() -> None:
    with pytest.raises(InvalidInput, match="not exact"):
        read(pa.array([2.0**53, 1.0]), "classification")
