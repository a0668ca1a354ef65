"""Rows that are streamed: which are held out, in which order they come, and going on in the middle."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet as pq
import pytest
import torch

from longshore.shared.datasets.detect import detect
from longshore.shared.datasets.open import open_source
from longshore.shared.errors import InvalidInput
from longshore.shared.specs.signature import Feature
from longshore.shared.specs.train import TrainSpec
from longshore.workers.families.standardize import Standardize
from longshore.workers.train.data.stream.batches import SplitRows, StreamedRows
from longshore.workers.train.data.stream.open import TableSource
from longshore.workers.train.data.stream.reader import StreamSource, cut_runs
from longshore.workers.train.data.stream.scan import DataScan, scan_streams
from longshore.workers.train.data.stream.splitting import TEST, TRAIN, VALIDATION, ConstantSplitter, HashSplitter

CPU = torch.device("cpu")
ROWS = 5000


def columns(rows: int = ROWS) -> pa.Table:
    """``a`` is the row's number; a class in seven."""
    a = np.arange(rows)
    noise = np.random.default_rng(0).normal(5, 3, rows).astype(np.float32)
    return pa.table({"a": a.astype(np.float32), "b": noise, "y": pa.array([f"c{each % 7}" for each in a])})


def spec(path: Path, **options: object) -> TrainSpec:
    given = {"model": "m", "family": "linear", "data": {"uri": str(path), "format": "parquet"}, "target": "y"}
    return TrainSpec.model_validate(given | options)


FEATURES = (Feature(name="a"), Feature(name="b"))


class OpenedRows:
    """A stream that was surveyed."""

    def __init__(
        self, path: Path, validation: float = 0.1, test: float = 0.1, seed: int = 3, **options: object
    ) -> None:
        source = open_source(detect(path))
        self.stream = StreamSource("data", source, cut_runs(source), HashSplitter(validation, test, seed))
        self.scan: DataScan = scan_streams(
            spec(path, validation=validation, test=test, seed=seed, **options), [self.stream], FEATURES, lambda: None
        )

    def part(self, part: int, standardize: Standardize | None = None) -> SplitRows:
        counts = self.scan.counts[0][:, part]
        return SplitRows([(self.stream, counts)], part, self.scan.signature, self.scan.encoder, standardize, CPU)

    def train(self, window: int = 500, seed: int = 3) -> StreamedRows:
        return StreamedRows(self.part(TRAIN), window, seed)


@pytest.fixture(params=["parquet", "one.parquet", "csv"])
def path(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    """The same rows in many row groups, in one, and as text."""
    found = tmp_path / f"rows.{request.param}"
    if request.param == "csv":
        pa.csv.write_csv(columns(), found)
    else:
        pq.write_table(columns(), found, row_group_size=ROWS if request.param == "one.parquet" else 300)
    return found


def numbers(batches: list[tuple[torch.Tensor, torch.Tensor]]) -> list[int]:
    return [int(each) for inputs, _ in batches for each in inputs[:, 0]]


def test_each_row_comes_once_an_epoch_with_its_target(path: Path) -> None:
    opened = OpenedRows(path)
    parts = {part: list(opened.part(part).in_order(64)) for part in (VALIDATION, TEST)}
    rows = opened.train()
    batches = list(rows.batches(1, 64))
    assert sum(len(targets) for _, targets in batches) == rows.count
    assert {len(targets) for _, targets in batches[:-1]} == {64}
    together = numbers(batches) + [row for part in parts.values() for row in numbers(part)]
    assert sorted(together) == list(range(ROWS))
    for inputs, targets in [*batches, *parts[VALIDATION], *parts[TEST]]:
        assert torch.equal(inputs[:, 0].long() % 7, targets)
    for part in parts.values():
        assert numbers(part) == sorted(numbers(part))
        assert 400 < len(numbers(part)) < 600


def test_the_order_depends_on_the_seed_and_the_epoch(path: Path) -> None:
    orders = [
        numbers(list(OpenedRows(path).train(seed=seed).batches(epoch, 64)))
        for seed, epoch in [(3, 1), (3, 1), (3, 2), (4, 1)]
    ]
    assert orders[0] == orders[1]
    assert orders[0] != orders[2]
    assert orders[0] != orders[3]
    assert orders[0] != sorted(orders[0])


@pytest.mark.parametrize("window", [100, 500, 100_000])
def test_an_epoch_goes_on_from_any_step(path: Path, window: int) -> None:
    rows = OpenedRows(path).train(window)
    whole = list(rows.batches(2, 64))
    for start in (0, 1, 7, 8, 9, 31, len(whole) - 1, len(whole)):
        rest = list(OpenedRows(path).train(window).batches(2, 64, start))
        assert len(rest) == len(whole) - start
        for (inputs, targets), (wanted, labels) in zip(rest, whole[start:], strict=True):
            assert torch.equal(inputs, wanted)
            assert torch.equal(targets, labels)


def test_many_runs_are_mixed_far_beyond_the_window(tmp_path: Path) -> None:
    pq.write_table(columns(), tmp_path / "rows.parquet", row_group_size=100)
    first = numbers(list(OpenedRows(tmp_path / "rows.parquet").train(500).batches(1, 50)))[:500]
    assert max(first) - min(first) > 4000


def test_the_scale_is_that_of_the_rows_to_train_on(path: Path) -> None:
    opened = OpenedRows(path)
    trained = torch.cat([inputs for inputs, _ in opened.part(TRAIN).in_order(1000)])
    wanted = Standardize.measure(trained, torch.arange(len(trained)))
    assert torch.equal(opened.scan.standardize.mean, wanted.mean)
    assert torch.allclose(opened.scan.standardize.std, wanted.std)
    scaled = torch.cat([inputs for inputs, _ in opened.part(TRAIN, wanted).in_order(1000)])
    assert torch.equal(scaled, wanted(trained))


def test_rows_of_their_own_are_held_out_whole(tmp_path: Path) -> None:
    pq.write_table(columns(), tmp_path / "rows.parquet")
    own = StreamSource(
        "validation", TableSource(columns(20)), [*cut_runs(TableSource(columns(20)))], ConstantSplitter(VALIDATION)
    )
    source = open_source(detect(tmp_path / "rows.parquet"))
    data = StreamSource("data", source, cut_runs(source), HashSplitter(0, 0, 0))
    found = scan_streams(spec(tmp_path, validation=0), [data, own], FEATURES, lambda: None)
    assert [counts.sum(axis=0).tolist() for counts in found.counts] == [[ROWS, 0, 0], [0, 20, 0]]


def write(path: Path, **changed: object) -> Path:
    table = columns()
    for name, values in changed.items():
        there = table.schema.names
        column = pa.array(values)
        table = (
            table.set_column(there.index(name), name, column) if name in there else table.append_column(name, column)
        )
    pq.write_table(table, path / "rows.parquet", row_group_size=700)
    return path / "rows.parquet"


def with_one(value: object, row: int, name: str) -> list[object]:
    values: list[object] = columns()[name].to_pylist()
    values[row] = value
    return values


@pytest.mark.parametrize(
    ("changed", "field", "reason"),
    [
        ({"b": with_one(float("nan"), 4321, "b")}, "data", "row 4321: column 'b': nan"),
        ({"y": with_one(None, 4321, "y")}, "target", "'y' has no value in row 4321;"),
        ({"y": ["same"] * ROWS}, "target", "the one label 'same'"),
        ({"y": [0.5] * 4999 + [float("inf")]}, "target", "not a finite 32-bit float in row 4999"),
    ],
)
def test_what_is_wrong_is_found_in_the_first_pass(
    tmp_path: Path, changed: dict[str, object], field: str, reason: str
) -> None:
    with pytest.raises(InvalidInput, match=reason) as refused:
        OpenedRows(write(tmp_path, **changed))
    assert refused.value.field == field


def test_a_label_that_no_row_to_train_on_has_is_refused(tmp_path: Path) -> None:
    held_out = numbers(list(OpenedRows(write(tmp_path)).part(VALIDATION).in_order(100)))[5]
    with pytest.raises(InvalidInput, match=f"target: column 'y' has 'odd' in row {held_out} for validation, and in no"):
        OpenedRows(write(tmp_path, y=with_one("odd", held_out, "y")))


def test_a_fraction_that_holds_nothing_out_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InvalidInput, match=r"test: 1e-09 of 5000 rows holds none out"):
        OpenedRows(write(tmp_path), test=1e-9)


@pytest.mark.parametrize(
    ("y", "task", "labels"),
    [
        (np.arange(ROWS) % 900, "classification", 900),
        (np.arange(ROWS), "regression", None),
        (np.arange(ROWS) / 2, "regression", None),
        (np.arange(ROWS) % 2 == 0, "classification", 2),
    ],
)
def test_the_task_is_told_as_it_is_without_streaming(tmp_path: Path, y: object, task: str, labels: int | None) -> None:
    found = OpenedRows(write(tmp_path, y=y), validation=0, test=0).scan
    assert found.encoder.task == task
    assert (None if found.encoder.labels is None else len(found.encoder.labels)) == labels


def test_constant_columns_are_noted(tmp_path: Path) -> None:
    notes = OpenedRows(write(tmp_path, b=[2.5] * ROWS)).scan.notes
    assert notes == (
        "constant in the rows to train on, which teaches nothing: 'b' (2.5); kept, unless left out of features",
    )


def test_balanced_weights_are_of_the_rows_to_train_on(path: Path) -> None:
    opened = OpenedRows(path, class_weights="balanced")
    targets = torch.cat([targets for _, targets in opened.train().batches(1, 64)])
    assert opened.scan.class_counts == tuple(torch.bincount(targets).tolist())
    assert sum(opened.scan.class_counts) == opened.train().count < ROWS
    assert OpenedRows(path).scan.class_counts == opened.scan.class_counts
    validated = torch.cat([targets for _, targets in opened.part(VALIDATION).in_order(64)])
    assert opened.scan.validation_counts == tuple(torch.bincount(validated).tolist())


@pytest.mark.parametrize(
    "values", [[3, 1, 1, 1, 3, 8], [3.0, 1.0, 1.0, 1.0, 3.0, 8.0], [True, False, False, False, True, True]]
)
def test_classes_of_any_type_are_counted(values: list[object]) -> None:
    table = pa.table({"a": [float(a) for a in range(6)], "y": values})
    source = TableSource(table)
    stream = StreamSource("data", source, cut_runs(source), ConstantSplitter(TRAIN))
    asked = spec(Path("/x"), validation=0.0, class_weights="balanced", task="classification")
    found = scan_streams(asked, [stream], (Feature(name="a"),), lambda: None)
    assert found.class_counts == tuple(values.count(label) for label in found.encoder.labels or ())
    assert sum(found.class_counts) == 6
