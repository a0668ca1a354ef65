"""Random values of CSV and JSON Lines files, and what each of them is, by rules written a second time."""

from __future__ import annotations

import math
import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.csv
import pytest
from hypothesis import strategies as st

from longshore.shared.datasets.columns.numbers import convert
from longshore.shared.datasets.detect import detect
from longshore.shared.datasets.open import open_source, with_uses
from longshore.shared.datasets.readers import lines
from longshore.shared.datasets.source import Source
from longshore.shared.datasets.uses import ColumnUses
from longshore.shared.specs.signature import Feature

#: A number of a row, or why it has none.
Number = float | str

_ODD_WORDS = [
    *("oops", "x17", "", "NA", "null", "nan", "NaN", "N/A", "-nan", "NAN", "inf", "-Infinity", "1e400", "-1e400"),
    *("true", "True", "TRUE", "false", "tRUE", " true", "0x1F", "1_000", "1,5", "+", "-", ".", "e5", "1e", "1d"),
    *("00042", "+7", "1.10", "5.", ".5", "-0", "1e-400", "12345678901234567890", "12345678901234567891", "9" * 30),
    *(" 1", "1 ", "\t2", "1 2", "2024-01-01", "2024-01-01T10:00:00Z", "10:00", "1e5", "1E+5"),
    *("a\nb", 'say "x"', "é,"),
]
#: Values that look alike in most rows, and odd ones in some.
PLAIN = st.one_of(st.integers(-(2**62), 2**62).map(str), st.floats(-1e9, 1e9).map(repr), st.sampled_from("01"))
ODD = st.sampled_from(_ODD_WORDS)


@st.composite
def csv_column(draw: st.DrawFn, rows: int) -> list[str]:
    """Values of one kind, and odd values in random places."""
    kind = draw(st.sampled_from(["integer", "decimal", "boolean", "text", "missing"]))
    base = {
        "integer": st.integers(-1000, 1000).map(str),
        "decimal": st.floats(-1e6, 1e6).map(repr),
        "boolean": st.sampled_from(["true", "false"]),
        "text": st.text(alphabet='ab,"\n é', max_size=4),
        "missing": st.sampled_from(["", "NA"]),
    }[kind]
    values = draw(st.lists(base, min_size=rows, max_size=rows))
    for row in draw(st.lists(st.integers(0, rows - 1), max_size=4)):
        values[row] = draw(st.one_of(ODD, PLAIN))
    return values


def quoted(value: str) -> str:
    """A CSV field. Fields that could be read as a blank line are quoted."""
    return '"' + value.replace('"', '""') + '"' if value == "" or re.search(r'[",\n\r]', value) else value


def csv_number(text: str) -> Number:
    """What a text is in a column of numbers."""
    if text in pyarrow.csv.ConvertOptions().null_values:
        return "null"
    if text in ("true", "True", "TRUE"):
        return 1.0
    if text in ("false", "False", "FALSE"):
        return 0.0
    plain = text.strip(" \t")
    if re.fullmatch(r"[+-]?([0-9]+\.?[0-9]*|\.[0-9]+)([eE][+-]?[0-9]+)?|(?i:[+-]?(inf|infinity|nan))", plain):
        return float(plain)
    return "not a number"


@contextmanager
def blocks_of(size: int) -> Iterator[None]:
    """Read text files in blocks of ``size`` bytes."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(lines, "BLOCK_BYTES", size)
        yield


def opened(path: Path) -> Source:
    """Open a file by its suffix."""
    return open_source(detect(path))


def read_column(path: Path, name: str, uses: ColumnUses, block: int, columns: list[str]) -> list[pa.Array]:
    """The arrays of one column, read together with other columns in blocks of some bytes."""
    with blocks_of(block):
        source = with_uses(opened(path), uses)
        return [
            batch.column(name)
            for segment in source.segments(3)
            for batch in source.batches(segment, columns, 5, strict=False)
        ]


def numbers_of(arrays: list[pa.Array], feature: Feature) -> list[Number]:
    """The number of each row as float32, or the kind of error."""
    found: list[Number] = []
    for array in arrays:
        column = convert(array, feature)
        for row, value in enumerate(column.values[:, 0].tolist()):
            error = column.errors.get(row)
            found.append(value if error is None else "null" if error == "null" else "not a number")
    return found


def as_float32(value: Number) -> Number:
    """The number as a feature has it; NaN as text, because it does not equal itself."""
    if isinstance(value, str):
        return value
    with np.errstate(over="ignore"):
        number = float(np.float32(value))
    return "nan" if math.isnan(number) else number
