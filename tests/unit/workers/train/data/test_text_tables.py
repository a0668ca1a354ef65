"""Training data from CSV and JSON Lines: the same targets and features in memory and as a stream, at any block size."""

from __future__ import annotations

import json
from pathlib import Path
from typing import cast

import numpy as np
import pytest
import torch

from longshore.shared.datasets.detect import detect
from longshore.shared.datasets.readers import lines
from longshore.shared.errors import DataError, InvalidInput
from longshore.shared.specs.train import TrainSpec
from longshore.workers.inputs.inline_blocks import InlineBlocks
from longshore.workers.train.data.dataset import read_training_data
from longshore.workers.train.data.stream.dataset import read_streams
from longshore.workers.train.data.stream.open import open_streams
from longshore.workers.train.data.stream.splitting import TRAIN
from longshore.workers.train.data.tables import read_tables

BLOCKS = cast(InlineBlocks, None)
Label = str | int | bool


def write(folder: Path, suffix: str, x: list[str], y: list[str], name: str = "rows") -> Path:
    path = folder / f"{name}.{suffix}"
    if suffix == "csv":
        path.write_text("x,y\n" + "".join(f"{a},{b}\n" for a, b in zip(x, y, strict=True)))
    else:
        path.write_text("".join(f'{{"x": {a}, "y": {b}}}\n' for a, b in zip(x, y, strict=True)))
    return path


def spec(path: Path, **options: object) -> TrainSpec:
    data = detect(path).model_dump()
    given = {"model": "m", "family": "linear", "target": "y", "data": data, "validation": 0.0}
    return TrainSpec.model_validate(given | options)


def read(spec: TrainSpec) -> tuple[tuple[Label, ...] | None, list[float], list[float], tuple[str, ...]]:
    """The labels, the features, the targets and the notes; the same from memory and from a stream."""
    data = read_training_data(spec, read_tables(spec, BLOCKS))
    stream = read_streams(spec, open_streams(spec, BLOCKS), lambda: None)
    assert stream.scan.encoder.labels == data.targets.labels
    batches = list(stream.part(TRAIN, None, torch.device("cpu")).in_order(7))
    targets = [value for _, targets in batches for value in targets.tolist()]
    features = [row[0] for inputs, _ in batches for row in inputs.tolist()]
    assert targets == data.targets.values.tolist()
    assert features == data.features[:, 0].tolist()
    assert set(stream.notes) == set(data.notes)
    return data.targets.labels, features, targets, data.notes


@pytest.mark.parametrize("block", [10, 64, 1 << 20])
@pytest.mark.parametrize("suffix", ["csv", "jsonl"])
def test_decimals_that_come_late_are_decimals(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, suffix: str, block: int
) -> None:
    monkeypatch.setattr(lines, "BLOCK_BYTES", block)
    x = [*map(str, range(50)), "0.25", "1e3"]
    y = [*map(str, range(51)), "2.5"]
    labels, features, targets, notes = read(spec(write(tmp_path, suffix, x, y)))
    assert (labels, notes) == (None, ())
    assert features == [float(value) for value in x]
    assert targets == [float(value) for value in y]


@pytest.mark.parametrize("block", [10, 64, 1 << 20])
@pytest.mark.parametrize(
    ("y", "labels"),
    [
        (["1", "2", "1", "2"], (1, 2)),
        (["01", "1", "001", "1"], ("001", "01", "1")),
        (["1", "2", "1", "x"], ("1", "2", "x")),
        (["US", "NA", "NA", "US"], ("NA", "US")),
        (["true", "false", "TRUE", "true"], (False, True)),
    ],
)
def test_labels_keep_their_characters(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, y: list[str], labels: tuple[Label, ...], block: int
) -> None:
    monkeypatch.setattr(lines, "BLOCK_BYTES", block)
    path = write(tmp_path, "csv", ["1", "2", "3", "4"] * 5, y * 5)
    found, _, codes, notes = read(spec(path))
    assert found == labels
    assert [type(label) for label in found or ()] == [type(label) for label in labels]
    if isinstance(labels[0], str):
        assert [labels[int(code)] for code in codes] == y * 5
    assert len(notes) == (0 if labels == ("NA", "US") else 1)
    # As JSON, texts are labels as they are, without a note.
    path = write(tmp_path, "jsonl", ["1", "2", "3", "4"] * 5, [json.dumps(label) for label in y * 5])
    found, _, codes, notes = read(spec(path))
    assert [(found or ())[int(code)] for code in codes] == y * 5
    assert notes == ()


@pytest.mark.parametrize("block", [10, 1 << 20])
@pytest.mark.parametrize(
    ("x", "y", "error", "reason"),
    [
        # By the reader, or by the fit of a column that starts with the text.
        ({7: "oops"}, {}, (DataError, InvalidInput), "row 7: column 'x': 'oops' is not a number"),
        ({}, {7: "oops"}, InvalidInput, "'oops' in row 7, which is not a number"),
        ({}, {7: "NA", 9: ""}, InvalidInput, r"column 'y' has no value in row 7 \(and 1 rows more\)"),
    ],
)
def test_a_bad_row_is_refused_with_its_number(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    x: dict[int, str],
    y: dict[int, str],
    error: type[Exception] | tuple[type[Exception], ...],
    reason: str,
    block: int,
) -> None:
    monkeypatch.setattr(lines, "BLOCK_BYTES", block)
    first, second = ([bad.get(row, f"{row}.5") for row in range(20)] for bad in (x, y))
    tried = spec(write(tmp_path, "csv", first, second), features=["x"])
    with pytest.raises(error, match=reason):
        read_training_data(tried, read_tables(tried, BLOCKS))
    with pytest.raises(error, match=reason):
        read_streams(tried, open_streams(tried, BLOCKS), lambda: None)


def test_held_out_rows_are_read_like_the_training_rows(tmp_path: Path) -> None:
    rows = write(tmp_path, "csv", ["1", "2", "3"], ["a", "1", "01"])
    held_out = write(tmp_path, "csv", ["1", "2"], ["1", "01"], "val")
    tried = spec(rows, validation=detect(held_out).model_dump())
    data = read_training_data(tried, read_tables(tried, BLOCKS))
    assert data.targets.labels == ("01", "1", "a")
    np.testing.assert_array_equal(data.targets.values, [2, 1, 0, 1, 0])
    (tmp_path / "val.csv").write_text("x,y\n1,1\n2,x\n")
    numbers = write(tmp_path, "csv", ["1", "2", "3"], ["1", "2", "1"], "numbers")
    tried = spec(numbers, validation=detect(held_out).model_dump())
    with pytest.raises(InvalidInput, match="'x' in row 1 of validation, which is not a whole number"):
        read_tables(tried, BLOCKS)
    with pytest.raises(InvalidInput, match="'x' in row 1 of validation, which is not a whole number"):
        read_streams(tried, open_streams(tried, BLOCKS), lambda: None)
