"""What a training learns from by default, on files and frames with an index, at the call and in a worker."""

from __future__ import annotations

import importlib
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from longshore.shared.datasets.detect import detect
from longshore.shared.datasets.index_columns import MIN_COUNTED_ROWS, RowCounts, index_columns
from longshore.shared.datasets.inline import decode_block, encode_block, to_table
from longshore.shared.datasets.open import open_source
from longshore.shared.datasets.schemas import infer_features
from longshore.shared.errors import InvalidInput
from longshore.shared.specs.jobs import FileInput, InlineInput
from longshore.shared.specs.train import TrainSpec
from longshore.workers.train.data.dataset import Tables, read_training_data
from longshore.workers.train.data.stream.dataset import read_streams
from longshore.workers.train.data.stream.open import TableSource
from longshore.workers.train.data.stream.reader import StreamSource, cut_runs
from longshore.workers.train.data.stream.splitting import HashSplitter
from longshore.workers.train.data.tables import read_tables

pd = importlib.import_module("pandas")
ROWS = 50
INDEXES: dict[str, Callable[[], object]] = {
    "a range": lambda: None,
    "unnamed": lambda: np.arange(ROWS) * 7,
    "named": lambda: pd.Index(np.arange(ROWS) * 7, name="key"),
    "two levels": lambda: pd.MultiIndex.from_arrays([np.arange(ROWS), np.arange(ROWS) * 2.5], names=["one", None]),
}


def _frame(index: str) -> object:
    random = np.random.default_rng(0)
    columns = {"a": random.normal(size=ROWS), "b": random.integers(0, 9, ROWS), "y": np.arange(ROWS) % 2}
    return pd.DataFrame(columns, index=INDEXES[index]())


def _spec(data: object, **options: object) -> TrainSpec:
    return TrainSpec.model_validate({"model": "m", "family": "linear", "target": "y", "data": data, **options})


def _path(frame: object, folder: Path, form: str) -> Path:
    path = folder / ("data" if form == "folder" else f"x.{form}")
    if form == "csv":
        frame.to_csv(path)  # type: ignore[attr-defined]
    elif form == "arrow":
        table = pa.Table.from_pandas(frame)
        with pa.ipc.new_file(path, table.schema) as writer:
            writer.write_table(table)
    elif form == "parquet":
        frame.to_parquet(path)  # type: ignore[attr-defined]
    else:
        path.mkdir()
        frame.to_parquet(path / "1.parquet")  # type: ignore[attr-defined]
        frame.to_parquet(path / "2.parquet")  # type: ignore[attr-defined]
    return path


@pytest.mark.parametrize("index", INDEXES)
@pytest.mark.parametrize("form", ["csv", "arrow", "parquet", "folder"])
def test_an_index_in_a_file_is_no_feature(tmp_path: Path, index: str, form: str) -> None:
    file = detect(_path(_frame(index), tmp_path, form))
    source = open_source(file)
    # Nothing in a CSV file says that a named index is not a column; of two levels, the second has no name.
    named = {"named": ["key"], "two levels": ["one"]}.get(index, []) if form == "csv" else []
    left_out = [name for name in source.schema.names if name not in ("a", "b", "y", *named)]
    wanted = [name for name in source.schema.names if name in ("a", "b", *named)]
    assert index_columns(source.schema) == left_out
    features = infer_features(source.schema, source.head(), "y")
    assert [feature.name for feature in features] == wanted

    spec = _spec(file)
    memory = read_training_data(spec, read_tables(spec, None))  # type: ignore[arg-type]
    stream = StreamSource("data", source, cut_runs(source), HashSplitter(0.2, 0.0, 0))
    streamed = read_streams(_spec(file, stream=True), [stream], lambda: None)
    for data in (memory, streamed):
        assert [feature.name for feature in data.signature.features] == wanted
        notes = [note for note in data.notes if "is not trained on" in note]
        assert len(notes) == len(left_out)
        assert all(repr(name) in note for name, note in zip(left_out, notes, strict=True))


@pytest.mark.parametrize("index", INDEXES)
def test_an_index_in_memory_is_no_feature(index: str) -> None:
    table = decode_block(encode_block(to_table(pa.Table.from_pandas(_frame(index)))))
    expected = [name for name in table.column_names if name not in ("a", "b", "y")]
    assert index_columns(table.schema) == expected
    data = InlineInput(block="a", offset=0, rows=ROWS)
    memory = read_training_data(_spec(data), Tables(table))
    source = TableSource(table)
    stream = StreamSource("data", source, cut_runs(source), HashSplitter(0.2, 0.0, 0))
    streamed = read_streams(_spec(data), [stream], lambda: None)
    for read in (memory, streamed):
        assert [feature.name for feature in read.signature.features] == ["a", "b"]
        assert len([note for note in read.notes if "an index of pandas" in note]) == len(expected)
    assert to_table(_frame(index)).column_names == ["a", "b", "y"]


def test_an_index_can_be_named_as_a_feature(tmp_path: Path) -> None:
    path = _path(_frame("unnamed"), tmp_path, "parquet")
    spec = _spec(FileInput(uri=str(path), format="parquet"), features=("__index_level_0__", "a"))
    data = read_training_data(spec, read_tables(spec, None))  # type: ignore[arg-type]
    assert [feature.name for feature in data.signature.features] == ["__index_level_0__", "a"]
    assert not [note for note in data.notes if "not trained on" in note]


def test_an_index_can_be_the_target_or_the_only_column() -> None:
    table = pa.table({"__index_level_0__": [1, 2], "y": [0.5, 1.5]})
    with pytest.raises(
        InvalidInput, match=r"besides the target 'y' and '__index_level_0__', an index of the rows; list"
    ):
        infer_features(table.schema, table.to_batches()[0], "y")
    assert infer_features(table.schema, table.to_batches()[0], "__index_level_0__")[0].name == "y"


@pytest.mark.parametrize("name", ["", " ", "Unnamed: 0", "__index_level_12__"])
def test_names_of_an_index_without_metadata(name: str) -> None:
    assert index_columns(pa.schema([(name, pa.int64()), ("x", pa.int64())])) == [name]


@pytest.mark.parametrize("metadata", [b"", b"[]", b"{", b"null", b'{"index_columns": 3}', b'{"index_columns": [{}]}'])
def test_metadata_of_another_program(metadata: bytes) -> None:
    assert index_columns(pa.schema([("x", pa.int64())], metadata={b"pandas": metadata})) == []


COLUMNS = {
    "from 0": (range(100), True),
    "from 1": (range(1, 101), True),
    "from 2": (range(2, 102), False),
    "down": (range(100, 0, -1), False),
    "steps of 2": (range(0, 200, 2), False),
    "late gap": ([*range(99), 100], False),
    "a late null": ([*range(99), None], False),
    # The numbers of text files are floats.
    "floats": ([float(row) for row in range(100)], True),
    "decimals": ([row + 0.5 for row in range(100)], False),
    "texts": ([str(row) for row in range(100)], False),
}


@pytest.mark.parametrize("name", COLUMNS)
@pytest.mark.parametrize("rows", [1, 7, 100])
def test_counts_of_the_rows_are_noted(name: str, rows: int) -> None:
    values, counted = COLUMNS[name]
    table = pa.table({name: list(values)})
    counts = RowCounts([name])
    for batch in table.to_batches(max_chunksize=rows):
        counts.add(batch)
    assert [repr(name) in note for note in counts.notes()] == [True] * counted


def test_few_rows_are_no_count() -> None:
    counts = RowCounts(["x"])
    counts.add(pa.table({"x": range(MIN_COUNTED_ROWS - 1)}))
    assert not list(counts.notes())


def test_a_count_is_noted_by_a_training_in_memory_and_from_a_stream(tmp_path: Path) -> None:
    table = pa.table({"id": np.arange(1, ROWS + 1), "a": np.ones(ROWS), "y": np.arange(ROWS) % 2})
    pq.write_table(table, tmp_path / "x.parquet", row_group_size=7)
    source = open_source(detect(tmp_path / "x.parquet"))
    stream = StreamSource("data", source, cut_runs(source), HashSplitter(0.2, 0.0, 0))
    data = FileInput(uri=str(tmp_path / "x.parquet"), format="parquet")
    memory, streamed = read_training_data(_spec(data), Tables(table)), read_streams(_spec(data), [stream], lambda: None)
    assert memory.notes[0] == streamed.notes[0]
    assert memory.notes[0].startswith("column 'id' counts the rows (1, 2, 3, ...)")
    assert [feature.name for feature in memory.signature.features] == ["id", "a"]
