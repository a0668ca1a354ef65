from __future__ import annotations

import pyarrow as pa
import pytest

from longshore.shared.datasets.columns.matrix import to_matrix
from longshore.shared.specs.signature import Feature, Signature
from longshore.workers.train.data.bad_rows import bad_row

SIGNATURE = Signature(features=(Feature(name="x"), Feature(name="l", width=1)), task="regression", target="y")
REPLACE = "or give preprocess={'x': {'missing': 'median'}}"


@pytest.mark.parametrize(
    ("x", "items", "ending"),
    [
        (None, [1.0], f"column 'x': null; correct or remove it, {REPLACE}"),
        (float("nan"), [1.0], f"column 'x': nan is not a finite float32; correct or remove it, {REPLACE}"),
        (float("inf"), [1.0], "column 'x': inf is not a finite float32; correct or remove it"),
        (1.0, None, "column 'l': null; correct or remove it"),
        (1.0, [float("nan")], "column 'l': nan at position 0 is not a finite float32; correct or remove it"),
    ],
)
def test_the_remedy_of_a_bad_row(x: float | None, items: list[float] | None, ending: str) -> None:
    columns = {"x": pa.array([x], pa.float64()), "l": pa.array([items], pa.list_(pa.float64(), 1))}
    [error] = to_matrix(pa.RecordBatch.from_pydict(columns), SIGNATURE).errors.values()
    assert str(bad_row("data", 7, error, SIGNATURE)) == f"data: row 7: {ending}"
