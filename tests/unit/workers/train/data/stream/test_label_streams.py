"""Streams whose targets are sets of labels, or classes of embeddings."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch

from longshore.shared.datasets.detect import detect
from longshore.shared.datasets.open import open_source
from longshore.shared.errors import InvalidInput
from longshore.shared.specs.train import TrainSpec
from longshore.workers.train.data.stream.dataset import StreamedData, read_streams
from longshore.workers.train.data.stream.reader import StreamSource, cut_runs
from longshore.workers.train.data.stream.splitting import TRAIN, VALIDATION, ColumnSplitter

CPU = torch.device("cpu")
ROWS = 3000
PARTS = np.array(["train", "train", "val"])[np.arange(ROWS) % 3]


def opened(path: Path, y: object, **options: object) -> StreamedData:
    """Row i is held out if i is 2 modulo 3."""
    table = pa.table({"a": np.arange(ROWS, dtype=np.float32), "y": y, "part": PARTS})
    pq.write_table(table, path / "rows.parquet", row_group_size=400)
    given = {"model": "m", "family": "linear", "target": "y", "split": "part", "stream": True}
    spec = TrainSpec.model_validate(
        {**given, "data": {"uri": str(path / "rows.parquet"), "format": "parquet"}, **options}
    )
    source = open_source(detect(path / "rows.parquet"))
    return read_streams(spec, [StreamSource("data", source, cut_runs(source), ColumnSplitter("part"))], lambda: None)


def some_sets() -> list[list[str]]:
    """No labels in the first row groups, so that their types are told by none."""
    return [[] if row < 900 else [f"l{each}" for each in range(4) if row % (each + 2) == 0] for row in range(ROWS)]


@pytest.mark.parametrize("kind", [pa.list_(pa.string()), pa.list_(pa.dictionary(pa.int32(), pa.string()))])
def test_each_row_comes_with_its_labels(tmp_path: Path, kind: pa.DataType) -> None:
    wanted = some_sets()
    data = opened(tmp_path, pa.array(wanted, pa.list_(pa.string())).cast(kind))
    labels = ("l0", "l1", "l2", "l3")
    assert (data.signature.task, data.signature.labels, data.outputs) == ("multilabel", labels, 4)
    seen = 0
    for part in (TRAIN, VALIDATION):
        for inputs, targets in data.part(part, None, CPU).in_order(256):
            assert targets.dtype == torch.bool
            for row, held in zip(inputs[:, 0].int().tolist(), targets.tolist(), strict=True):
                assert held == [label in wanted[row] for label in labels]
                seen += 1
    assert seen == ROWS


def test_numbers_are_labels_if_that_is_said(tmp_path: Path) -> None:
    y = pa.array([[row % 7, row % 5] for row in range(ROWS)])
    data = opened(tmp_path, y, task="multilabel")
    assert data.signature.labels == tuple(range(7))
    assert opened(tmp_path, y).signature.task == "regression"


@pytest.mark.parametrize(
    ("row", "value", "options", "reason"),
    [
        (1001, None, {}, "'y' has no value in row 1001"),
        (1001, ["l0", None], {}, "a list with a null in row 1001"),
        (1001, ["l0", "odd"], {}, "'y' has 'odd' in row 1001 for validation, and in no row to train on"),
        (0, ["l0"], {"task": "classification"}, "lists of labels by multilabel"),
        (0, ["l0"], {"task": "embedding"}, "lists of labels by multilabel"),
    ],
)
def test_what_is_wrong_is_found_in_the_first_pass(
    tmp_path: Path, row: int, value: object, options: dict[str, object], reason: str
) -> None:
    y: list[object] = [*some_sets()]
    y[row] = value
    with pytest.raises(InvalidInput, match=f"^target: .*{reason}"):
        opened(tmp_path, pa.array(y, pa.list_(pa.string())), **options)


def test_there_must_be_labels(tmp_path: Path) -> None:
    with pytest.raises(InvalidInput, match=r"^target: column 'y' has an empty list in every row"):
        opened(tmp_path, pa.array([[]] * ROWS, pa.list_(pa.string())))
    with pytest.raises(InvalidInput, match=r"^target: column 'y' has text .*, but multilabel needs lists"):
        opened(tmp_path, pa.array(["a"] * ROWS), task="multilabel")


def test_an_embedding_is_measured_on_classes_that_it_was_not_trained_on(tmp_path: Path) -> None:
    y = np.where(PARTS == "val", 7, np.arange(ROWS) % 5)
    data = opened(tmp_path, y, task="embedding", embedding_width=6)
    assert (data.signature.task, data.signature.labels, data.outputs) == ("embedding", None, 6)
    for part, classes in ((TRAIN, set(range(5))), (VALIDATION, {5})):
        codes = torch.cat([targets for _, targets in data.part(part, None, CPU).in_order(100)])
        assert set(codes.tolist()) == classes
