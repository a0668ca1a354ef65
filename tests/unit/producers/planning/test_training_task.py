"""What the type of a target tells of the task before a worker has seen the rows."""

from __future__ import annotations

import pyarrow as pa
import pytest

from longshore.producers.planning.training.data import Taken
from longshore.producers.planning.training.task import check_task, task_of
from longshore.shared.errors import InvalidInput
from longshore.shared.specs.jobs import InlineInput
from longshore.shared.specs.train import TrainSpec
from longshore.shared.specs.validation import build

DATA = InlineInput(block="a", offset=0, rows=4)


def spec(**options: object) -> TrainSpec:
    return build(TrainSpec, {"model": "m", "family": "mlp", "data": DATA, "target": "y", **options})


def taken(values: pa.Array, whole: bool = True) -> Taken:
    table = pa.table({"y": values})
    return Taken("data", DATA, b"", table.schema, table, whole=whole, count=len(values))


@pytest.mark.parametrize(
    ("kind", "task"),
    [
        (pa.string(), "classification"),
        (pa.large_string(), "classification"),
        (pa.dictionary(pa.int8(), pa.string()), "classification"),
        (pa.bool_(), "classification"),
        (pa.int16(), "auto"),
        (pa.float32(), "regression"),
        (pa.decimal128(5, 2), "regression"),
        (pa.list_(pa.float32()), "regression"),
        (pa.list_(pa.int8(), 3), "regression"),
    ],
)
def test_the_type_tells_the_task_where_it_can(kind: pa.DataType, task: str) -> None:
    assert task_of(spec(), kind) == task
    assert task_of(spec(task="classification"), kind) == "classification"


@pytest.mark.parametrize(
    ("values", "weights"),
    [
        (pa.array(["p", "q", "p"]), {"q": 2}),
        (pa.array(["p", "q", "p"]).dictionary_encode(), {"q": 2}),
        (pa.array([0, 4, 4]), {4: 2}),
        (pa.array([True, False]), {"true": 2}),
    ],
)
def test_weights_of_labels_that_are_there(values: pa.Array, weights: dict[object, float]) -> None:
    check_task(spec(class_weights=weights), taken(values))
    wrong = spec(class_weights={**weights, "other": 3})
    with pytest.raises(InvalidInput, match=r"^class_weights: 'other' is no label of the target; there are "):
        check_task(wrong, taken(values))
    # The rest of a file may have it.
    check_task(wrong, taken(values, whole=False))


def test_whole_fractions_become_labels_on_the_worker() -> None:
    check_task(spec(class_weights={1: 2}, task="classification"), taken(pa.array([0.0, 1.0])))
    with pytest.raises(InvalidInput, match=r"^class_weights: .* is of the loss cross_entropy; mse has no arguments"):
        check_task(spec(class_weights={1: 2}), taken(pa.array([0.0, 1.0])))
