"""Columns that give the target away are named, and others are not."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pytest
from sklearn.datasets import load_breast_cancer, load_diabetes, load_iris, load_wine

from longshore.shared.specs.jobs import InlineInput
from longshore.shared.specs.train import TrainSpec
from longshore.workers.train.data.dataset import Tables, read_training_data

ROWS = 400


def leaks(rows: dict[str, object], **options: object) -> list[str]:
    data = InlineInput(block="b", offset=0, rows=1)
    spec = TrainSpec.model_validate({"model": "m", "family": "mlp", "data": data, "target": "y", **options})
    notes = read_training_data(spec, Tables(pa.table(rows))).notes
    return [note for note in notes if "nothing else is learned" in note]


def rows(seed: int = 0) -> dict[str, np.ndarray]:
    random = np.random.default_rng(seed)
    return {"x": random.normal(size=ROWS), "flag": random.integers(0, 2, ROWS).astype(float)}


@pytest.mark.parametrize("ordered", [False, True])
def test_a_column_with_a_value_for_each_class(ordered: bool) -> None:
    classes = np.random.default_rng(1).integers(0, 3, ROWS)
    classes = np.sort(classes) if ordered else classes
    names = np.array(["none", "some", "all"])[classes]
    codes = np.array([7.0, 1.5, -2.0])[classes]
    for leak in (names, codes):
        [note] = leaks({**rows(), "leak": leak, "y": classes})
        assert note == (
            "column 'leak' has another value for each class in all 360 rows to train on, so nothing else is learned; "
            "leave it out of features if it is not known before the target"
        )
    wrong = codes.copy()
    wrong[:50] = codes[::-1][:50]
    assert not leaks({**rows(), "leak": wrong, "y": classes})
    merged = np.where(classes == 2, 1, classes).astype(float)
    assert not leaks({**rows(), "leak": merged, "y": classes})


def test_numbers_that_equal_the_target() -> None:
    target = np.random.default_rng(2).normal(size=ROWS)
    [note] = leaks({**rows(), "copy": target, "y": target})
    assert note.startswith("column 'copy' equals the target in all 360 rows")
    assert not leaks({**rows(), "near": target + 1e-3, "y": target})
    seconds = 1.7e9 + np.arange(ROWS)
    assert not leaks({**rows(), "start": seconds, "y": seconds + 0.4 * rows()["x"]}), "equal as 32-bit floats"
    assert not leaks({**rows(), "c": [3.0] * ROWS, "y": [3.0] * ROWS})


def test_few_rows_tell_nothing() -> None:
    assert not leaks({"x": [0.0, 1.0] * 20, "y": ["a", "b"] * 20})


@pytest.mark.parametrize("others", [1, 4])
def test_few_rows_of_other_classes_meet_a_rare_flag_by_chance(others: int) -> None:
    rare = np.arange(200) < others
    columns = {"x": np.random.default_rng(0).normal(size=200), "flag": rare.astype(float)}
    assert not leaks({**columns, "y": rare}, validation=0)
    assert not leaks({**columns, "y": rare.astype(float)}, validation=0)


@pytest.mark.parametrize("load", [load_iris, load_wine, load_breast_cancer, load_diabetes])
def test_no_false_alarm_of_usual_data(load: object) -> None:
    data = load()  # type: ignore[operator]
    columns = {f"x{index}": data.data[:, index] for index in range(data.data.shape[1])}
    assert not leaks({**columns, "y": data.target})
