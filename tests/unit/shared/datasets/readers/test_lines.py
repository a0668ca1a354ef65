from __future__ import annotations

import io

import pytest
from hypothesis import given
from hypothesis import strategies as st

from longshore.shared.datasets.readers.lines import Piece, Splitter, read_pieces, split_delimited, split_json_lines

CSV_TEXT = st.text(alphabet='a",\n\r ', max_size=40).map(str.encode)
JSON_TEXT = st.text(alphabet="a{ \t\r\n", max_size=40).map(str.encode)


def csv_rows(content: bytes) -> list[int] | None:
    """Where rows begin, one byte after the other as RFC 4180 reads; ``None`` if the content ends inside quotes."""
    starts, start, position, quoted, fresh = [], 0, 0, False, True
    while position < len(content):
        byte = content[position : position + 1]
        if quoted:
            if byte == b'"' and content[position + 1 : position + 2] == b'"':
                position += 1
            elif byte == b'"':
                quoted = False
        elif byte == b'"' and fresh:
            quoted, fresh = True, False
        elif byte in b"\r\n":
            if position > start:
                starts.append(start)
            position += content[position : position + 2] == b"\r\n"
            start, fresh = position + 1, True
        else:
            fresh = byte == b","
        position += 1
    if quoted:
        return None
    return [*starts, start] if start < len(content) else starts


def pieces(content: bytes, split: Splitter, block: int) -> list[Piece]:
    return list(read_pieces(io.BytesIO(content), 0, None, split, block))


def begins(found: list[Piece]) -> list[int]:
    return [piece.offset + int(start) for piece in found for start in piece.starts]


@given(CSV_TEXT, st.integers(1, 50))
def test_csv_rows_begin_where_a_plain_reading_says(content: bytes, block: int) -> None:
    expected = csv_rows(content)
    if expected is None:
        with pytest.raises(ValueError, match="inside quotes"):
            pieces(content, split_delimited, block)
        return
    found = pieces(content, split_delimited, block)
    assert begins(found) == expected
    assert b"".join(piece.content for piece in found) == content


@given(JSON_TEXT, st.integers(1, 50))
def test_json_rows_are_lines_that_hold_something(content: bytes, block: int) -> None:
    expected, start = [], 0
    for line in content.split(b"\n"):
        if line.strip():
            expected.append(start)
        start += len(line) + 1
    found = pieces(content, split_json_lines, block)
    assert begins(found) == expected
    assert b"".join(piece.content for piece in found) == content


@pytest.mark.parametrize(
    ("content", "starts"),
    [
        (b"", []),
        (b"\n\r\n\r", []),
        (b"a\rb\r\nc\nd", [0, 2, 5, 7]),
        (b'"a\nb"\n"c""\n"\n', [0, 6]),
        (b'5" pipe,1\n6" pipe\n', [0, 10]),
        (b'x,"\n"y"\n"z"', [0, 8]),
        (b'""\n\n""', [0, 4]),
    ],
)
def test_csv_rows(content: bytes, starts: list[int]) -> None:
    assert begins(pieces(content, split_delimited, 1 << 20)) == starts == csv_rows(content)


def test_a_range_is_read_and_nothing_around_it() -> None:
    found = list(read_pieces(io.BytesIO(b"a\nb\nc\nd\n"), 2, 4, split_delimited, 3))
    assert b"".join(piece.content for piece in found) == b"b\nc\n"
    assert begins(found) == [2, 4]


def test_a_range_past_the_end_is_an_error() -> None:
    with pytest.raises(ValueError, match="3 bytes too early"):
        list(read_pieces(io.BytesIO(b"a\nb\n"), 2, 5, split_delimited))
