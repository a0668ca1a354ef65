"""From a table to numbers."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pytest

from longshore.shared.errors import InvalidInput
from longshore.shared.jobs import InlineInput, TrainSpec
from longshore.workers.train.data import read_training_data


def spec(**options: object) -> TrainSpec:
    values = {"model": "m", "family": "linear", "data": InlineInput(block="b", offset=0, rows=1), "target": "y"}
    return TrainSpec.model_validate(values | options)


def test_every_column_but_the_target_is_a_feature_and_each_row_is_kept() -> None:
    table = pa.table({"a": [1, 2, 3, 4], "y": ["p", "q", "p", "q"], "b": [[1.5, 2.5]] * 4})
    data = read_training_data(spec(validation=0.5), pa.concat_tables([table, table]))
    assert [(feature.name, feature.size) for feature in data.signature.features] == [("a", 1), ("b", 2)]
    assert data.signature.labels == ("p", "q")
    assert data.features.dtype == np.float32
    assert data.features.tolist() == [[number, 1.5, 2.5] for number in (1, 2, 3, 4, 1, 2, 3, 4)]
    assert data.targets.values.tolist() == [0, 1] * 4
    assert (len(data.train_rows), len(data.held_out_rows)) == (4, 4)


def test_features_are_taken_in_the_order_asked_for() -> None:
    table = pa.table({"a": [1, 2], "b": [3, 4], "y": [0.5, 1.5]})
    data = read_training_data(spec(features=("b", "a"), validation=0), table)
    assert data.features.tolist() == [[3, 1], [4, 2]]
    assert data.signature.task == "regression"


def test_a_bad_row_far_down_is_named_with_its_column() -> None:
    values = np.zeros((20_000, 2), dtype=np.float32)
    values[17_003, 1] = np.inf
    rows = pa.FixedSizeListArray.from_arrays(values.ravel(), 2)
    table = pa.table({"a": np.arange(20_000), "pixels": rows, "y": np.arange(20_000) % 3})
    with pytest.raises(InvalidInput, match=r"row 17003: .*pixels") as refused:
        read_training_data(spec(), table)
    assert refused.value.field == "data"


@pytest.mark.parametrize(
    ("table", "field", "reason"),
    [
        (pa.table({"a": [1, 2], "label": [0, 1]}), "target", "no column 'y'; the data has 'a', 'label'"),
        (pa.table({"a": [1], "y": [0]}), "data", "rows: 1; training needs at least 2"),
        (pa.table({"a": pa.array([], pa.int64()), "y": pa.array([], pa.int64())}), "data", "rows: 0"),
        (pa.table({"a": [1, None, 3] * 10, "y": [0, 1, 0] * 10}), "data", "row 1: .*a"),
        (pa.table({"a": [1.0, 2.0, float("nan")] * 10, "y": [0, 1, 0] * 10}), "data", "row 2: .*a"),
        (pa.table({"a": [1, 2, 3], "y": [0, 1, 0]}), "validation", "holds none out"),
    ],
)
def test_a_table_that_cannot_be_trained_on_is_refused(table: pa.Table, field: str, reason: str) -> None:
    with pytest.raises(InvalidInput, match=reason) as refused:
        read_training_data(spec(), table)
    assert refused.value.field == field
