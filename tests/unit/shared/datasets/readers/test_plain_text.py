"""Plain text: lines of a file, and files of a folder."""

from __future__ import annotations

import random
from pathlib import Path

import pytest

from longshore.shared.datasets.detect import detect
from longshore.shared.datasets.open import open_source
from longshore.shared.datasets.readers import lines
from longshore.shared.datasets.source import Source
from longshore.shared.errors import DataError, InvalidInput


def texts(source: Source, rows_per_shard: int | None = None) -> list[str]:
    read: list[str] = []
    for segment in source.segments(rows_per_shard):
        batches = source.batches(segment, ["text"], 3)
        rows = [text for batch in batches for text in batch.column("text").to_pylist()]
        assert len(rows) == segment.rows
        read += rows
    return read


def opened(path: Path | str) -> Source:
    return open_source(detect(path), "data")


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        (b"one\ntwo\n", ["one", "two"]),
        (b"\xef\xbb\xbfone\r\n\r\n  two \r\nthree", ["one", "  two ", "three"]),
        (b"\n \t\n\xc3\xa9t\xc3\xa9\x0bx\xe2\x80\xa8y\n", ["été\x0bx\u2028y"]),
        (b'"a, b\n{"c": 1\n', ['"a, b', '{"c": 1']),
    ],
)
def test_lines_are_rows_as_they_are(tmp_path: Path, content: bytes, expected: list[str]) -> None:
    path = tmp_path / "book.TXT"
    path.write_bytes(content)
    source = opened(path)
    assert source.schema.names == ["text"]
    assert source.rows == len(expected)
    assert source.head().column("text").to_pylist() == expected
    assert texts(source) == expected


def test_a_file_of_many_blocks(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lines, "BLOCK_BYTES", 64)
    draw = random.Random(0)
    rows = ["".join(draw.choices("abc é\t", k=draw.randrange(200))) for _ in range(300)]
    path = tmp_path / "book.txt"
    path.write_text("\n".join(rows), encoding="utf-8")
    expected = [row for row in rows if row.strip()]
    assert texts(opened(path), 7) == expected


def test_files_of_a_folder_are_rows(tmp_path: Path) -> None:
    for name, content in {"b/2.txt": "two\r\n\r\nlines\r\n", "a.txt": "one", "b/.hidden.txt": "x", "c.md": "x"}.items():
        path = tmp_path / "books" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content.encode())
    data = detect(tmp_path / "books")
    source = open_source(data, "data")
    assert (data.format, source.rows) == ("txt", 2)
    assert source.head().column("text").to_pylist() == texts(source, 1) == ["one", "two\n\nlines\n"]
    assert "1 .md" in source.notes[0]  # type: ignore[attr-defined]
    assert texts(opened(str(tmp_path / "books" / "*.txt"))) == ["one"]
    (tmp_path / "books" / "a.txt").write_text("other")
    with pytest.raises(DataError, match="rewritten after the job was submitted"):
        open_source(data)


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"", r"bad\.txt is empty"),
        (b" \n\n", r"bad\.txt has (no rows|only white space)"),
        (b"good\nnot \xff good\n", r"bad\.txt.*: byte 0xff is not UTF-8; save the file as UTF-8"),
        ("text".encode("utf-16"), r"bad\.txt.*: byte 0xff is not UTF-8"),
    ],
)
@pytest.mark.parametrize("folder", [False, True])
def test_bad_files_are_named(tmp_path: Path, content: bytes, said: str, folder: bool) -> None:
    path = tmp_path / "bad.txt"
    path.write_bytes(content)
    with pytest.raises((InvalidInput, DataError), match=said):
        opened(tmp_path if folder else path).head()
