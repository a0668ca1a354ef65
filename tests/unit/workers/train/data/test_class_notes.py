"""Notes on classes and on few validation rows, in memory and streamed, which count the same rows."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute
import pyarrow.parquet as pq
import pytest
from sklearn.datasets import load_breast_cancer, load_iris, load_wine

from longshore.shared.specs.jobs import InlineInput
from longshore.shared.specs.train import TrainSpec
from longshore.workers.train.data.class_notes import class_notes
from longshore.workers.train.data.dataset import Tables, read_training_data
from longshore.workers.train.data.stream.dataset import StreamedData, read_streams
from longshore.workers.train.data.stream.open import open_streams


def spec(**options: object) -> TrainSpec:
    data = InlineInput(block="b", offset=0, rows=1)
    return TrainSpec.model_validate({"model": "m", "family": "linear", "data": data, "target": "y", **options})


def table(counts: dict[str, int]) -> pa.Table:
    labels = [label for label, count in counts.items() for _ in range(count)]
    return pa.table({"x": np.random.default_rng(0).normal(size=len(labels)), "y": labels})


def notes(rows: pa.Table, **options: object) -> list[str]:
    asked = spec(**options)
    return list(class_notes(asked, read_training_data(asked, Tables(rows))))


def streamed(rows: pa.Table, folder: Path, **options: object) -> tuple[TrainSpec, StreamedData]:
    pq.write_table(rows, folder / "rows.parquet", row_group_size=100)
    asked = spec(data={"uri": str(folder / "rows.parquet"), "format": "parquet"}, stream=True, **options)
    return asked, read_streams(asked, open_streams(asked, None), lambda: None)  # type: ignore[arg-type]


def test_unbalanced_classes_are_counted() -> None:
    [note] = notes(table({"ok": 1800, "fraud": 100, "late": 900}))
    assert note == (
        "unbalanced classes: 'fraud' (90), of 2,520 rows to train on; the largest is 'ok' (1,620); "
        "class_weights='balanced' makes all classes count the same, and metrics=['f1'] measures them alike"
    )
    assert not notes(table({"ok": 1800, "fraud": 100}), class_weights="balanced")
    assert not notes(table({"ok": 900, "fraud": 100}))
    [several] = notes(table({"ok": 1800, "fraud": 100}), devices=2)
    assert "class_weights" not in several, "they are not for several devices"


@pytest.mark.parametrize("load", [load_iris, load_wine, load_breast_cancer])
def test_no_false_alarm_of_usual_data(load: object) -> None:
    data = load()  # type: ignore[operator]
    assert not notes(pa.table({"x": data.data[:, 0], "y": data.target}))


def test_few_rows_of_a_class() -> None:
    few, unbalanced, missing = notes(table({"a": 100, "b": 3, "c": 1, "d": 100}))
    assert few == "too few rows to train on of 'c' (1), 'b' (3); 5 or more teach a class"
    assert unbalanced.startswith("unbalanced classes: 'c' (1), 'b' (3), of 184 rows to train on")
    assert missing == "no validation row has the class 'b' (3), 'c' (1), so no metric measures it"
    assert not notes(table({"a": 100, "b": 100}))


def test_few_validation_rows() -> None:
    [note] = notes(table({"a": 30, "b": 30}))
    assert note.startswith("only 6 validation rows measure the epochs")
    assert not notes(table({"a": 30, "b": 30}), validation=0)
    assert not notes(table({"a": 50, "b": 50}))
    numbers = pa.table({"x": np.arange(50.0), "y": np.arange(50.0)})
    assert notes(numbers)[0].startswith("only 5 validation rows")
    assert not notes(numbers, validation=0.2)


@pytest.mark.parametrize("values", [("a", "b", "c"), (0, 1, 2), (True, False, True)])
def test_a_stream_counts_the_same(tmp_path: Path, values: tuple[object, ...]) -> None:
    random = np.random.default_rng(1)
    labels = pa.array([values[code] for code in random.choice(3, 3000, p=[0.9, 0.07, 0.03])])
    parts = random.choice(["train", "validation", "test"], 3000)
    rows = pa.table({"x": random.normal(size=3000), "y": labels, "part": parts})
    asked, stream = streamed(rows, tmp_path, split="part")
    memory = read_training_data(asked, Tables(rows))
    assert (stream.class_counts, stream.validation_counts) == (memory.class_counts, memory.validation_counts)
    assert stream.validation_rows == memory.validation_rows
    assert class_notes(asked, stream) == class_notes(asked, memory)
    counted = rows.filter(pa.compute.equal(rows["part"], "train"))["y"].value_counts()
    assert sorted(each["counts"].as_py() for each in counted) == sorted(stream.class_counts)


def test_a_stream_of_numbers_has_no_classes(tmp_path: Path) -> None:
    rows = pa.table({"x": np.arange(3000.0), "y": np.arange(3000)})
    _, stream = streamed(rows, tmp_path)
    assert (stream.signature.task, stream.class_counts, stream.validation_counts) == ("regression", (), ())


def test_constant_columns_of_any_kind_are_named(tmp_path: Path) -> None:
    count = 200
    columns: dict[str, object] = {
        **{"x": np.random.default_rng(0).normal(size=count), "seven": [7] * count, "city": ["Oslo"] * count},
        **{"maybe": [7.0, None] * (count // 2), "named": ["Oslo", None] * (count // 2)},
        **{"day": np.array(["2026-01-01"] * count, "datetime64[D]"), "y": ["a", "b"] * (count // 2)},
    }
    rows = pa.table(columns)
    asked, stream = streamed(rows, tmp_path)
    for data in (stream, read_training_data(asked, Tables(rows))):
        [note] = [note for note in data.notes if note.startswith("constant")]
        assert note == (
            "constant in the rows to train on, which teaches nothing: 'seven' (7), 'city' ('Oslo'), 'day'; kept, "
            "unless left out of features"
        )
