"""Arrow IPC files: random access by batch, and damage that is told instead of read."""

from __future__ import annotations

import math
from contextlib import suppress
from pathlib import Path

import fsspec
import pyarrow as pa
import pyarrow.feather
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from longshore.shared.datasets.open import open_source
from longshore.shared.datasets.readers.arrow_footer import batch_lengths
from longshore.shared.datasets.readers.arrow_ipc import ArrowSource
from longshore.shared.datasets.segments import Segment
from longshore.shared.errors import DataError, InvalidInput
from longshore.shared.specs.jobs import FileInput

BATCHES = st.lists(st.integers(0, 9), min_size=1, max_size=8)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("arrow")


def write(path: Path, lengths: list[int], compression: str | None = None) -> Path:
    """Rows that are numbered through, in batches of some lengths."""
    schema = pa.schema([("number", pa.int64()), ("list", pa.list_(pa.float32(), 2)), ("text", pa.string())])
    start = 0
    with pa.ipc.new_file(str(path), schema, options=pa.ipc.IpcWriteOptions(compression=compression)) as file:
        for length in lengths:
            rows = range(start, start + length)
            columns = [list(rows), [[row, -row] for row in rows], [f"t{row}" for row in rows]]
            file.write_batch(
                pa.record_batch([pa.array(*both) for both in zip(columns, schema.types, strict=True)], schema=schema)
            )
            start += length
    return path


def numbers(source: ArrowSource, segment: Segment, batch_rows: int) -> list[int]:
    found: list[int] = []
    for batch in source.batches(segment, ["text", "number"], batch_rows):
        assert batch.schema.names == ["text", "number"]
        assert 1 <= batch.num_rows <= batch_rows
        assert batch.column("text").to_pylist() == [f"t{number}" for number in batch.column("number").to_pylist()]
        found += batch.column("number").to_pylist()
    return found


@given(BATCHES, st.one_of(st.none(), st.integers(1, 80)), st.integers(1, 20), st.sampled_from([None, "lz4", "zstd"]))
@settings(deadline=None)
def test_the_segments_are_the_file(
    folder: Path, lengths: list[int], step: int | None, batch_rows: int, compression: str | None
) -> None:
    source = ArrowSource(str(write(folder / "x.arrow", lengths, compression)))
    assert source.rows == sum(lengths)
    segments = source.segments(step)
    assert [row for segment in segments for row in numbers(source, segment, batch_rows)] == list(range(sum(lengths)))
    # In any order, too.
    for segment in reversed(segments):
        assert numbers(source, segment, batch_rows) == list(range(segment.start, segment.stop))
    if step is not None:
        assert len(segments) == math.ceil(sum(lengths) / step)


@given(BATCHES)
@settings(deadline=None, max_examples=30)
def test_the_lengths_in_the_footer_are_those_of_the_batches(folder: Path, lengths: list[int]) -> None:
    with pa.OSFile(str(write(folder / "x.arrow", lengths))) as file:
        assert batch_lengths(file) == lengths


def test_a_feather_file_with_dictionaries(tmp_path: Path) -> None:
    path = tmp_path / "x.feather"
    table = pa.table({"kind": pa.array(["a", "b", None] * 5).dictionary_encode(), "number": list(range(15))})
    pyarrow.feather.write_feather(table, path, chunksize=4, compression="lz4")
    source = ArrowSource(str(path))
    batches = [batch for segment in source.segments(6) for batch in source.batches(segment, ["kind"], 6)]
    assert [batch.num_rows for batch in batches] == [6, 6, 3]
    assert [kind for batch in batches for kind in batch.column(0).to_pylist()] == ["a", "b", None] * 5
    assert source.head(2).to_pylist() == table.slice(0, 2).to_pylist()


def test_a_remote_file(tmp_path: Path) -> None:
    files = fsspec.filesystem("memory")
    files.pipe("/arrow-test/x.arrow", write(tmp_path / "x.arrow", [3, 4]).read_bytes())
    try:
        source = ArrowSource("memory://arrow-test/x.arrow")
        assert numbers(source, Segment(2, 6), 10) == [2, 3, 4, 5]
    finally:
        files.rm("/arrow-test", recursive=True)


@pytest.mark.parametrize(
    ("content", "said"),
    [(b"FEA1", "version 1"), (b"hello", "not an Arrow IPC file"), (b"ARROW1", "x.arrow"), (b"ARROW1" * 20, "x.arrow")],
)
def test_what_is_no_such_file_is_refused(tmp_path: Path, content: bytes, said: str) -> None:
    (tmp_path / "x.arrow").write_bytes(content)
    with pytest.raises(InvalidInput, match=said):
        open_source(FileInput(uri=str(tmp_path / "x.arrow"), format="arrow"), "data")


def test_a_stream_is_refused_with_what_to_do(tmp_path: Path) -> None:
    path = tmp_path / "x.arrow"
    table = pa.table({"a": [1]})
    with pa.ipc.new_stream(str(path), table.schema) as stream:
        stream.write_table(table)
    with pytest.raises(DataError, match="save an Arrow stream in the file format"):
        ArrowSource(str(path))


def test_a_file_without_rows_is_refused_at_submission(tmp_path: Path) -> None:
    data = FileInput(uri=str(write(tmp_path / "x.arrow", [])), format="arrow")
    assert open_source(data).segments(None) == []
    assert open_source(data).head().schema.names == ["number", "list", "text"]
    with pytest.raises(InvalidInput, match="no rows"):
        open_source(data, "data")


@pytest.mark.parametrize("kept", [0.0, 0.3, 0.9, 0.999])
def test_a_truncated_file_is_refused(tmp_path: Path, kept: float) -> None:
    path = write(tmp_path / "x.arrow", [100, 100])
    content = path.read_bytes()
    path.write_bytes(content[: int(len(content) * kept)])
    with pytest.raises(DataError, match=r"x\.arrow"):
        ArrowSource(str(path))


def test_fewer_rows_or_other_columns_than_were_planned(tmp_path: Path) -> None:
    source = ArrowSource(str(write(tmp_path / "x.arrow", [3])))
    with pytest.raises(DataError, match="has 3 rows, but had at least 4"):
        [*source.batches(Segment(2, 4), ["number"], 10)]
    with pytest.raises(DataError, match="no columns called 'b'"):
        [*source.batches(Segment(0, 1), ["b"], 10)]


@given(st.data())
@settings(deadline=None, max_examples=200)
def test_a_damaged_byte_is_an_error_or_harmless(folder: Path, data: st.DataObject) -> None:
    """Never the end of the process, nor another number of rows."""
    path = write(folder / "damaged.arrow", [5, 6])
    content = bytearray(path.read_bytes())
    content[data.draw(st.integers(0, len(content) - 1))] ^= data.draw(st.integers(1, 255))
    path.write_bytes(content)
    with suppress(DataError):
        source = ArrowSource(str(path))
        names = source.schema.names
        rows = [row for segment in source.segments(None) for row in source.batches(segment, names, 3)]
        assert sum(batch.num_rows for batch in rows) == source.rows
