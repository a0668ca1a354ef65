"""Whatever the format and however it is cut: the segments, one after another, are the file."""

from __future__ import annotations

import csv
import io
import json
import math
import uuid
from collections.abc import Iterator
from pathlib import Path

import fsspec
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from longshore.shared.datasets.open import open_source
from longshore.shared.datasets.source import Source
from longshore.shared.specs.jobs import FileInput
from longshore.shared.vocabulary import DataFormat

#: Text that is hard on readers, but nothing that CSV takes for a missing value or a number.
TEXT = st.text(alphabet="xüß,\"\n\r 漢'", max_size=6).map(lambda text: f"t{text}")
ROW = st.tuples(st.integers(-(2**40), 2**40), TEXT)
ROWS = st.lists(ROW, min_size=1, max_size=40)
CUTS = st.one_of(st.none(), st.integers(1, 45))


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("round-trips")


def write(folder: Path, name: str, content: bytes, format: DataFormat) -> Source:
    path = folder / name
    path.write_bytes(content)
    return open_source(FileInput(uri=str(path), format=format))


def read(source: Source, cut: int | None, batch_rows: int) -> list[tuple[int, str]]:
    rows: list[tuple[int, str]] = []
    for segment in source.segments(cut):
        assert segment.start == len(rows)
        assert cut is None or segment.rows <= cut
        for batch in source.batches(segment, ["text", "number"], batch_rows):
            assert batch.schema.names == ["text", "number"]
            assert 1 <= batch.num_rows <= batch_rows
            rows += zip(batch.column("number").to_pylist(), batch.column("text").to_pylist(), strict=True)
        assert segment.stop == len(rows)
    if cut is not None:
        assert len(source.segments(cut)) == math.ceil(len(rows) / cut)
    return rows


@given(ROWS, CUTS, st.integers(1, 50), st.sampled_from(["\n", "\r\n"]), st.booleans(), st.booleans(), st.data())
@settings(deadline=None)
def test_csv(
    folder: Path,
    rows: list[tuple[int, str]],
    cut: int | None,
    batch_rows: int,
    line: str,
    quote_all: bool,
    ended: bool,
    data: st.DataObject,
) -> None:
    blanks = data.draw(st.lists(st.integers(0, 2), min_size=len(rows), max_size=len(rows)))
    file = io.StringIO(newline="")
    # Python leaves a lone carriage return without quotes; to others it ends the line.
    quote_all = quote_all or any("\r" in text for _, text in rows)
    writer = csv.writer(file, lineterminator=line, quoting=csv.QUOTE_ALL if quote_all else csv.QUOTE_MINIMAL)
    writer.writerow(["number", "text"])
    for row, blank in zip(rows, blanks, strict=True):
        file.write(line * blank)
        writer.writerow(row)
    content = file.getvalue()
    if not ended:
        content = content.removesuffix(line)
    assert read(write(folder, "x.csv", content.encode(), "csv"), cut, batch_rows) == rows


@given(ROWS, CUTS, st.integers(1, 50), st.sampled_from(["\n", "\r\n", "\n \t\n", "\n\n"]), st.booleans(), st.booleans())
@settings(deadline=None)
def test_json_lines(
    folder: Path,
    rows: list[tuple[int, str]],
    cut: int | None,
    batch_rows: int,
    line: str,
    escaped: bool,
    ended: bool,
) -> None:
    objects = [{"number": number, "text": text, "other": [None]} for number, text in rows]
    content = line.join(json.dumps(entry, ensure_ascii=escaped) for entry in objects) + line * ended
    assert read(write(folder, "x.jsonl", content.encode(), "jsonl"), cut, batch_rows) == rows


@given(ROWS, CUTS, st.integers(1, 50), st.integers(1, 17))
@settings(deadline=None)
def test_parquet(folder: Path, rows: list[tuple[int, str]], cut: int | None, batch_rows: int, group: int) -> None:
    table = pa.table({"number": [row[0] for row in rows], "other": [0.0] * len(rows), "text": [row[1] for row in rows]})
    sink = io.BytesIO()
    pq.write_table(table, sink, row_group_size=group)
    assert read(write(folder, "x.parquet", sink.getvalue(), "parquet"), cut, batch_rows) == rows


@given(st.permutations(range(6)), st.integers(1, 9))
@settings(deadline=None, max_examples=30)
def test_parquet_segments_may_be_read_in_any_order(folder: Path, order: list[int], group: int) -> None:
    sink = io.BytesIO()
    pq.write_table(pa.table({"x": list(range(18))}), sink, row_group_size=group)
    source = write(folder, "order.parquet", sink.getvalue(), "parquet")
    segments = source.segments(3)
    for number in order:
        found = [x for batch in source.batches(segments[number], ["x"], 2) for x in batch.column("x").to_pylist()]
        assert found == [3 * number, 3 * number + 1, 3 * number + 2]


@pytest.fixture
def remote() -> Iterator[str]:
    root = f"/{uuid.uuid4().hex}"
    yield f"memory:/{root}"
    fsspec.filesystem("memory").rm(root, recursive=True)


@pytest.mark.parametrize("format", ["parquet", "csv", "jsonl"])
def test_remote_files(remote: str, format: DataFormat) -> None:
    rows = [(number, f"t{number}") for number in range(10)]
    sink = io.BytesIO()
    if format == "parquet":
        table = pa.table({"number": [row[0] for row in rows], "text": [row[1] for row in rows]})
        pq.write_table(table, sink, row_group_size=4)
    elif format == "csv":
        sink.write(("number,text\n" + "".join(f"{number},{text}\n" for number, text in rows)).encode())
    else:
        sink.write("\n".join(json.dumps({"number": number, "text": text}) for number, text in rows).encode())
    with fsspec.open(f"{remote}/file", "wb") as file:
        file.write(sink.getvalue())
    source = open_source(FileInput(uri=f"{remote}/file", format=format))
    assert read(source, 3, 2) == rows
    assert source.rows == 10
