"""From a table to numbers."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pytest

from longshore.shared.errors import InvalidInput
from longshore.shared.specs.jobs import InlineInput
from longshore.shared.specs.train import TrainSpec
from longshore.workers.train.data.dataset import Tables, TrainingData, read_training_data


def spec(**options: object) -> TrainSpec:
    values = {"model": "m", "family": "linear", "data": InlineInput(block="b", offset=0, rows=1), "target": "y"}
    return TrainSpec.model_validate(values | options)


def test_every_column_but_the_target_is_a_feature_and_each_row_is_kept() -> None:
    table = pa.table({"a": [1, 2, 3, 4], "y": ["p", "q", "p", "q"], "b": [[1.5, 2.5]] * 4})
    data = read_training_data(spec(validation=0.5), Tables(pa.concat_tables([table, table])))
    assert [(feature.name, feature.size) for feature in data.signature.features] == [("a", 1), ("b", 2)]
    assert data.signature.labels == ("p", "q")
    assert data.features.dtype == np.float32
    assert data.features.tolist() == [[number, 1.5, 2.5] for number in (1, 2, 3, 4, 1, 2, 3, 4)]
    assert data.targets.values.tolist() == [0, 1] * 4
    assert (len(data.train_rows), len(data.held_out_rows)) == (4, 4)


def test_features_are_taken_in_the_order_asked_for() -> None:
    table = pa.table({"a": [1, 2], "b": [3, 4], "y": [0.5, 1.5]})
    data = read_training_data(spec(features=("b", "a"), validation=0), Tables(table))
    assert data.features.tolist() == [[3, 1], [4, 2]]
    assert data.signature.task == "regression"


def test_a_bad_row_far_down_is_named_with_its_column() -> None:
    values = np.zeros((20_000, 2), dtype=np.float32)
    values[17_003, 1] = np.inf
    rows = pa.FixedSizeListArray.from_arrays(values.ravel(), 2)
    table = pa.table({"a": np.arange(20_000), "pixels": rows, "y": np.arange(20_000) % 3})
    with pytest.raises(InvalidInput, match=r"row 17003: .*pixels") as refused:
        read_training_data(spec(), Tables(table))
    assert refused.value.field == "data"


@pytest.mark.parametrize(
    ("table", "field", "reason"),
    [
        (pa.table({"a": [1, 2], "label": [0, 1]}), "target", "no column 'y'; the data has 'a', 'label'"),
        (pa.table({"a": [1], "y": [0]}), "data", "rows: 1; training needs at least 2"),
        (pa.table({"a": pa.array([], pa.int64()), "y": pa.array([], pa.int64())}), "data", "rows: 0"),
        (pa.table({"a": [[1], None, [3]] * 10, "y": [0, 1, 0] * 10}), "data", "row 1: .*a"),
        (pa.table({"a": [[1.0], [2.0], [float("nan")]] * 10, "y": [0, 1, 0] * 10}), "data", "row 2: .*a"),
        (pa.table({"a": [1, 2, 3], "y": [0, 1, 0]}), "validation", "3 rows in 2 classes holds none out"),
        (pa.table({"a": [1, 2], "y": [0.5, 1.5]}), "validation", "2 rows holds none out; give"),
    ],
)
def test_a_table_that_cannot_be_trained_on_is_refused(table: pa.Table, field: str, reason: str) -> None:
    with pytest.raises(InvalidInput, match=reason) as refused:
        read_training_data(spec(), Tables(table))
    assert refused.value.field == field


@pytest.mark.parametrize(("values", "row"), [([1, None, 3] * 10, 1), ([1.0, 2.0, float("nan")] * 10, 2)])
def test_missing_numbers_are_refused_if_the_caller_says_so(values: list[float | None], row: int) -> None:
    table = pa.table({"a": values, "y": [0, 1, 0] * 10})
    with pytest.raises(InvalidInput, match=f"data: row {row}: column 'a'"):
        read_training_data(spec(preprocess={"a": {"missing": "error"}}), Tables(table))


def held_out(data: TrainingData) -> list[list[int]]:
    return [rows.tolist() for rows in (data.train_rows, data.held_out_rows, data.test_rows)]


def other(*values: object, name: str = "y") -> pa.Table:
    return pa.table({"a": list(range(len(values))), name: pa.array(values)})


OWN = InlineInput(block="c", offset=0, rows=1)


def test_rows_held_out_may_have_tables_of_their_own() -> None:
    tables = Tables(other("p", "q", "p", "q"), other("q", "p"), other("p"))
    data = read_training_data(spec(validation=OWN, test=OWN), tables)
    assert held_out(data) == [[0, 1, 2, 3], [4, 5], [6]]
    assert data.features.ravel().tolist() == [0, 1, 2, 3, 0, 1, 0]
    assert data.targets.values.tolist() == [0, 1, 0, 1, 1, 0, 0]
    mixed = read_training_data(spec(validation=0.5, test=OWN), Tables(tables.data, test=tables.test))
    assert [len(rows) for rows in held_out(mixed)] == [2, 2, 1]


def test_a_column_may_say_which_rows_are_held_out() -> None:
    table = pa.table({"a": [1, 2, 3, 4], "y": [0, 1, 0, 1], "part": ["train", "train", "test", "val"]})
    data = read_training_data(spec(split="part"), Tables(table))
    assert held_out(data) == [[0, 1], [3], [2]]
    assert [feature.name for feature in data.signature.features] == ["a"]


def test_a_plain_draw_does_not_look_at_the_classes() -> None:
    table = other(*(["p"] * 80 + ["q"] * 20))
    counts = set()
    for seed in range(5):
        rows = read_training_data(spec(validation=0.5, stratify=False, seed=seed), Tables(table)).held_out_rows
        assert len(rows) == 50
        counts.add(int((rows >= 80).sum()))
    assert len(counts) > 1


@pytest.mark.parametrize(
    ("tables", "options", "field", "reason"),
    [
        (
            Tables(other("p", "q"), other("p", "r", "r")),
            {"validation": OWN},
            "target",
            r"'y' has 'r' in row 1 of validation \(and 1 rows more\), and in no row to train on",
        ),
        (Tables(other(0, 1), test=other(300)), {"validation": 0, "test": OWN}, "target", "has 300 in row 0 of test,"),
        (
            Tables(other(0, 1), test=other(0, None)),
            {"validation": 0, "test": OWN},
            "target",
            "no value in row 1 of test;",
        ),
        (
            Tables(other(0.5, 1.5), test=other(0.5, float("inf"))),
            {"validation": 0, "test": OWN},
            "target",
            "not a finite 32-bit float in row 1 of test;",
        ),
        (Tables(other("p", "q"), other(0, 1)), {"validation": OWN}, "validation", "has one number per row"),
        (Tables(other("p", "q"), other("p", name="z")), {"validation": OWN}, "validation", "no column 'y'"),
        (
            Tables(pa.table({"a": [1, 2, 3], "y": ["p", "q", "r"], "part": ["train", "train", "test"]})),
            {"split": "part"},
            "target",
            "has 'r' in row 2 for test, and in no row to train on",
        ),
        (
            Tables(other(0.5, 1.5, 2.5)),
            {"validation": 0.4, "stratify": True},
            "stratify",
            "regression, which has no classes",
        ),
        (Tables(other(0, 1, 2, 3, 4)), {"validation": 0.4}, "validation", "in 5 classes holds none out"),
        (Tables(other(0, 1, 0, 1)), {"validation": 0, "test": 0.1}, "test", "holds none out"),
    ],
)
def test_what_cannot_be_held_out_is_refused(
    tables: Tables, options: dict[str, object], field: str, reason: str
) -> None:
    with pytest.raises(InvalidInput, match=reason) as refused:
        read_training_data(spec(**options), tables)
    assert refused.value.field == field


def test_a_class_that_a_plain_draw_holds_out_whole_is_refused() -> None:
    table = other(*(["p"] * 9 + ["q"]))

    def run(seed: int) -> str:
        try:
            read_training_data(spec(validation=0.5, stratify=False, seed=seed), Tables(table))
        except InvalidInput as error:
            return str(error)
        return ""

    said = {run(seed) for seed in range(10)}
    assert len(said) == 2
    assert any("'q' in row 9 for validation, and in no row to train on" in each for each in said)


def test_columns_that_hold_one_value_are_noted() -> None:
    table = pa.table({"a": [1, 1, 1, 2], "b": [1, 2, 3, 4], "c": [[1.0]] * 4, "y": [0, 1, 0, 1]})
    table = table.append_column("part", pa.array(["train", "train", "train", "val"]))
    notes = read_training_data(spec(split="part"), Tables(table)).notes
    assert notes == (
        "constant in the rows to train on, which teaches nothing: 'a' (1); kept, unless left out of features",
    )


def sets(*values: object) -> pa.Table:
    return pa.table({"a": range(len(values)), "y": pa.array(values, pa.list_(pa.string()))})


def test_rows_of_several_labels_are_drawn_without_regard_to_them() -> None:
    table = sets(*([["p"], ["q", "p"], [], ["q"]] * 10))
    data = read_training_data(spec(validation=0.25), Tables(table))
    assert (data.signature.task, data.signature.labels, data.outputs) == ("multilabel", ("p", "q"), 2)
    assert (len(data.train_rows), len(data.held_out_rows)) == (30, 10)
    assert data.targets.values.tolist() == [[True, False], [True, True], [False, False], [False, True]] * 10
    with pytest.raises(InvalidInput, match=r"^stratify: the task is multilabel, whose rows are of no one class"):
        read_training_data(spec(validation=0.25, stratify=True), Tables(table))


def test_a_label_that_only_held_out_rows_have_is_refused() -> None:
    table = sets(["p"], ["q"], ["p", "r"], ["r"]).append_column("part", pa.array(["train", "train", "val", "val"]))
    with pytest.raises(
        InvalidInput, match=r"^target: column 'y' has 'r' in row 2 for validation \(and 1 rows more\), and in no row"
    ):
        read_training_data(spec(split="part"), Tables(table))
    tables = Tables(sets(["p"], ["q"]), test=sets([], ["q", "z"]))
    with pytest.raises(InvalidInput, match="has 'z' in row 1 of test, and in no row to train on"):
        read_training_data(spec(validation=0, test=OWN), tables)


def test_an_embedding_is_measured_on_classes_that_it_was_not_trained_on() -> None:
    tables = Tables(other("p", "q", "p"), validation=other("z", "z", "p"))
    data = read_training_data(spec(task="embedding", embedding_width=5, validation=OWN), tables)
    assert (data.signature.labels, data.signature.embedding_width, data.outputs) == (None, 5, 5)
    assert data.targets.values.tolist() == [0, 1, 0, 2, 2, 0]
    with pytest.raises(
        InvalidInput, match=r"^target: column 'y' has a different label in each of the 3 rows to train on"
    ):
        read_training_data(spec(task="embedding", validation=0), Tables(other("p", "q", "r")))


def test_an_embedding_s_rows_are_drawn_by_class() -> None:
    data = read_training_data(spec(task="embedding", validation=0.5), Tables(other(*["p"] * 8, *["q"] * 8, "r")))
    held = data.targets.values[data.held_out_rows].tolist()
    assert (held.count(0), held.count(1), held.count(2)) == (4, 4, 0)
