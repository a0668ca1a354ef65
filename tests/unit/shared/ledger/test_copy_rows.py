"""The text that COPY reads: one line a row, and every JSON text in it as it was."""

from __future__ import annotations

import json
from uuid import UUID

import pyarrow as pa
from hypothesis import given
from hypothesis import strategies as st

from longshore.shared.ledger.shards.copy_rows import result_lines

JOB = UUID(int=7)
JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**53), 2**53) | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=6,
)


def read_copy(lines: memoryview) -> list[tuple[str, int, str]]:
    """As Postgres reads COPY's text format: a backslash stands before a character that is meant as itself."""
    found = []
    for line in bytes(lines).decode().split("\n")[:-1]:
        job, row, output = line.split("\t")
        parts = output.split("\\\\")
        assert not any("\\" in part for part in parts), "a backslash that is not doubled"
        found.append((job, int(row), "\\".join(parts)))
    return found


def lines(rows: list[int], outputs: list[str]) -> memoryview:
    return result_lines(JOB, pa.array(rows, pa.int64()), pa.array(outputs, pa.string()))


def test_each_row_is_a_line() -> None:
    assert bytes(lines([4, 5], ["1", '{"a": 2}'])) == f'{JOB}\t4\t1\n{JOB}\t5\t{{"a": 2}}\n'.encode()
    assert bytes(lines([], [])) == b""


@given(st.lists(JSON), st.booleans(), st.integers(0, 2**62))
def test_any_json_is_read_back_as_it_was(values: list[object], ascii_only: bool, start: int) -> None:
    outputs = [json.dumps(value, ensure_ascii=ascii_only) for value in values]
    rows = list(range(start, start + len(outputs)))
    expected = [(str(JOB), row, output) for row, output in zip(rows, outputs, strict=True)]
    assert read_copy(lines(rows, outputs)) == expected


@given(st.integers(0, 5), st.integers(0, 5))
def test_a_slice_of_arrays_gives_only_its_rows(start: int, length: int) -> None:
    rows = pa.array(range(10), pa.int64()).slice(start, length)
    outputs = pa.array([f'"{row}"' for row in range(10)], pa.string()).slice(start, length)
    read = read_copy(result_lines(JOB, rows, outputs))
    assert [row for _, row, _ in read] == list(range(start, start + length))
    assert [output for _, _, output in read] == [f'"{row}"' for row in range(start, start + length)]
