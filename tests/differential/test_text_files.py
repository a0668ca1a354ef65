"""CSV and JSON Lines: what a value is depends on its own characters and the use of its column, and on nothing else.

Compared with pandas, polars, pyarrow, Python's json, and with rules that are written a second time in ``text_files``.
"""

from __future__ import annotations

import csv
import io
import json
from pathlib import Path

import numpy as np
import pandas
import polars
import pyarrow as pa
import pyarrow.csv
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from longshore.shared.datasets.columns.json_values import is_json
from longshore.shared.datasets.columns.numbers import convert
from longshore.shared.datasets.open import with_uses
from longshore.shared.datasets.uses import ColumnUses
from longshore.shared.errors import DataError
from longshore.shared.specs.signature import Feature
from tests.differential.cases import COMPARED, case_count, seeds
from tests.differential.text_files import (
    as_float32,
    blocks_of,
    csv_column,
    csv_number,
    numbers_of,
    opened,
    quoted,
    read_column,
)

X = Feature(name="c0")
CASES = settings(deadline=None, derandomize=True, database=None, max_examples=case_count(50))


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("text-files")


def write_csv(path: Path, columns: list[list[str]]) -> Path:
    header = ",".join(f"c{number}" for number in range(len(columns)))
    path.write_text("\n".join([header, *(",".join(map(quoted, row)) for row in zip(*columns, strict=True))]) + "\n")
    return path


@st.composite
def csv_tables(draw: st.DrawFn) -> list[list[str]]:
    rows = draw(st.integers(1, 20))
    return [draw(csv_column(rows)) for _ in range(draw(st.integers(1, 4)))]


@given(csv_tables(), st.integers(1, 200), st.sets(st.integers(1, 3)))
@CASES
def test_csv_numbers_depend_on_their_characters_alone(
    folder: Path, columns: list[list[str]], block: int, written: set[int]
) -> None:
    COMPARED.add()
    path = write_csv(folder / "numbers.csv", columns)
    names = [f"c{number}" for number in range(len(columns))]
    others = frozenset(f"c{number}" for number in written)
    uses = ColumnUses(numbers=frozenset(names) - others, written=others)
    expected = [as_float32(csv_number(text)) for text in columns[0]]
    for size in (block, 1 << 20):
        for selected in (names, names[:1]):
            arrays = read_column(path, "c0", uses, size, selected)
            assert [as_float32(value) for value in numbers_of(arrays, X)] == expected
    check_strict(path, uses, block, [csv_number(text) == "not a number" for text in columns[0]])


def check_strict(path: Path, uses: ColumnUses, block: int, bad: list[bool]) -> None:
    """A strict reading is of one type throughout, and refuses the first bad row by its number."""
    with blocks_of(block):
        source = with_uses(opened(path), uses)
        reading = (
            batch.column("c0").type for segment in source.segments(3) for batch in source.batches(segment, ["c0"], 5)
        )
        if any(bad):
            with pytest.raises(DataError, match=rf"row {bad.index(True)}: column 'c0': "):
                list(reading)
        else:
            assert set(reading) == {source.schema.field("c0").type}


@given(csv_tables(), st.integers(1, 200), st.sampled_from(["texts", "written", "target"]))
@CASES
def test_csv_texts_are_their_characters(folder: Path, columns: list[list[str]], block: int, use: str) -> None:
    COMPARED.add()
    path = write_csv(folder / "texts.csv", columns)
    uses = ColumnUses(
        texts=frozenset({"c0"} if use == "texts" else ()),
        written=frozenset({"c0"} if use == "written" else ()),
        target="c0" if use == "target" else None,
    )
    names = [f"c{number}" for number in range(len(columns))]
    for size in (block, 1 << 20):
        arrays = read_column(path, "c0", uses, size, names)
        assert {array.type for array in arrays} == {pa.string()}
        assert [text for array in arrays for text in array.to_pylist()] == columns[0]


@given(csv_tables())
@CASES
def test_csv_texts_are_those_of_pandas_polars_and_pyarrow(folder: Path, columns: list[list[str]]) -> None:
    COMPARED.add()
    path = write_csv(folder / "others.csv", columns)
    uses = ColumnUses(written=frozenset(f"c{number}" for number in range(len(columns))))
    names = sorted(uses.written)
    table = with_uses(opened(path), uses).head(100).to_pydict()
    frame = pandas.read_csv(path, dtype=str, keep_default_na=False, na_filter=False, skip_blank_lines=False)
    assert table == {name: frame[name].tolist() for name in names}
    strings = pyarrow.csv.ConvertOptions(column_types=dict.fromkeys(names, pa.string()))
    parse = pyarrow.csv.ParseOptions(newlines_in_values=True)
    assert table == pyarrow.csv.read_csv(path, convert_options=strings, parse_options=parse).to_pydict()
    lazy = polars.read_csv(path, infer_schema=False)
    assert table == {name: lazy[name].fill_null("").to_list() for name in names}


@pytest.mark.parametrize("seed", seeds(60))
def test_csv_numbers_are_those_of_pandas_polars_and_pyarrow(folder: Path, seed: int) -> None:
    random = np.random.default_rng(seed)
    rows = int(random.integers(5, 200))
    scale = 10.0 ** random.integers(-300, 300, rows)
    numbers = (scale * random.normal(size=rows)).tolist()
    texts = ["" if draw < 0.1 else repr(number) for draw, number in zip(random.random(rows), numbers, strict=True)]
    path = folder / "decimals.csv"
    path.write_text("x,y\n" + "".join(f"{text},{random.integers(9)}\n" for text in texts))
    with blocks_of(int(random.integers(20, 400))):
        source = with_uses(opened(path), ColumnUses(numbers=frozenset({"x"})))
        parts = [
            batch.column("x").to_numpy(zero_copy_only=False)
            for segment in source.segments(None)
            for batch in source.batches(segment, ["x"], 50)
        ]
    read = np.concatenate(parts)
    np.testing.assert_array_equal(read, [float(text or "nan") for text in texts])
    np.testing.assert_array_equal(read, pyarrow.csv.read_csv(path)["x"].to_numpy())
    # These two may differ by one unit in the last place.
    np.testing.assert_allclose(read, pandas.read_csv(path)["x"].to_numpy(), rtol=3e-16)
    np.testing.assert_allclose(read, polars.read_csv(path)["x"].to_numpy(), rtol=3e-16)


SCALARS = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-5, 5),
    st.integers(-(10**25), 10**25),
    st.floats(allow_nan=False, allow_infinity=False),
    st.text(alphabet='ab"\\\n é漢', max_size=3),
    st.sampled_from(["17", "true", "NA", "", "2024-01-01", "1e5", "null"]),
)
VALUES = st.one_of(SCALARS, st.lists(SCALARS, max_size=3), st.dictionaries(st.sampled_from("ab"), SCALARS, max_size=2))


@st.composite
def json_column(draw: st.DrawFn, rows: int) -> list[object]:
    base = draw(
        st.sampled_from(
            [
                st.integers(-1000, 1000),
                st.floats(-1e6, 1e6),
                st.booleans(),
                st.text(alphabet="ab", max_size=3),
                st.sampled_from(["2024-01-01", "2024-01-02"]),
                st.none(),
                st.lists(st.integers(0, 9), min_size=2, max_size=2),
                st.lists(st.floats(-9, 9), min_size=2, max_size=2),
                st.fixed_dictionaries({"a": st.integers(0, 9)}),
            ]
        )
    )
    values: list[object] = draw(st.lists(base, min_size=rows, max_size=rows))
    for row in draw(st.lists(st.integers(0, rows - 1), max_size=3)):
        values[row] = draw(VALUES)
    return values


@st.composite
def json_tables(draw: st.DrawFn) -> list[list[object]]:
    rows = draw(st.integers(1, 15))
    return [draw(json_column(rows)) for _ in range(draw(st.integers(1, 3)))]


def write_json(path: Path, columns: list[list[object]]) -> Path:
    names = [f"c{number}" for number in range(len(columns))]
    objects = (dict(zip(names, row, strict=True)) for row in zip(*columns, strict=True))
    path.write_text("".join(json.dumps(row, ensure_ascii=False) + "\n" for row in objects))
    return path


def json_number(value: object) -> float | str:
    if value is None:
        return "null"
    try:
        return float(value) if isinstance(value, int | float) else "not a number"
    except OverflowError:
        return float("inf")


@given(json_tables(), st.integers(1, 300))
@CASES
def test_json_numbers_depend_on_their_characters_alone(folder: Path, columns: list[list[object]], block: int) -> None:
    COMPARED.add()
    path = write_json(folder / "numbers.jsonl", columns)
    names = [f"c{number}" for number in range(len(columns))]
    expected = [as_float32(json_number(value)) for value in columns[0]]
    uses = ColumnUses(numbers=frozenset({"c0"}), written=frozenset(names[1:]))
    for size in (block, 1 << 20):
        arrays = read_column(path, "c0", uses, size, names)
        assert [as_float32(value) for value in numbers_of(arrays, X)] == expected
    check_strict(path, uses, block, [json_number(value) == "not a number" for value in columns[0]])


@given(json_tables(), st.integers(1, 300))
@CASES
def test_kept_json_is_repeated_exactly(folder: Path, columns: list[list[object]], block: int) -> None:
    COMPARED.add()
    path = write_json(folder / "kept.jsonl", columns)
    names = [f"c{number}" for number in range(len(columns))]
    uses = ColumnUses(written=frozenset(names))
    for size in (block, 1 << 20):
        for selected in (names, names[:1]):
            arrays = read_column(path, "c0", uses, size, selected)
            assert all(is_json(array.type) for array in arrays)
            texts = [text for array in arrays for text in array.storage.to_pylist()]
            assert texts == [None if value is None else json.dumps(value, ensure_ascii=False) for value in columns[0]]


@given(st.data(), st.integers(1, 300))
@CASES
def test_json_lists_depend_on_their_characters_alone(folder: Path, data: st.DataObject, block: int) -> None:
    COMPARED.add()
    rows = data.draw(st.integers(1, 15))
    numbers = st.one_of(st.integers(-9, 9), st.floats(-9, 9))
    items = data.draw(st.sampled_from([st.integers(0, 9), numbers]))
    pairs = st.lists(items, min_size=2, max_size=2)
    values: list[object] = data.draw(st.lists(pairs, min_size=rows, max_size=rows))
    for row in data.draw(st.lists(st.integers(0, rows - 1), max_size=3)):
        values[row] = data.draw(VALUES)
    path = write_json(folder / "lists.jsonl", [values])
    uses = ColumnUses(lists=frozenset({"c0"}))
    expected = [json_list(value) for value in values]
    for size in (block, 1 << 20):
        assert lists_of(read_column(path, "c0", uses, size, ["c0"])) == expected


def json_list(value: object) -> list[float] | None:
    """Two numbers, or ``None`` for an error."""
    if not isinstance(value, list) or len(value) != 2 or not all(isinstance(item, int | float) for item in value):
        return None
    with np.errstate(over="ignore"):
        numbers = np.array([json_number(item) for item in value], np.float64).astype(np.float32)
    return [float(number) for number in numbers]


def lists_of(arrays: list[pa.Array]) -> list[list[float] | None]:
    lists: list[list[float] | None] = []
    for array in arrays:
        column = convert(array, Feature(name="c0", width=2))
        lists += [None if row in column.errors else column.values[row].tolist() for row in range(len(array))]
    return lists


@pytest.mark.parametrize("seed", seeds(40))
def test_json_lists_far_from_0_keep_their_differences(folder: Path, seed: int) -> None:
    """Offsets are subtracted from the numbers of a list in 64 bits, whatever else is in its block."""
    random = np.random.default_rng(seed)
    rows, width = int(random.integers(2, 30)), int(random.integers(1, 5))
    offsets = random.choice([0.0, 1.7e9, -4e12, 0.5], width)
    values = offsets + random.choice([1e-2, 1.0, 1e6]) * random.normal(size=(rows, width))
    whole = random.random(rows) < 0.3
    values[whole] = values[whole].round()
    lines = [[int(each) if each == round(each) else each for each in row] for row in values.tolist()]
    wrong: list[object] = ["x", None, [1.0] * (width + 1)]
    odd = {int(row): wrong[random.integers(len(wrong))] for row in random.integers(0, rows, 2)}
    path = folder / "far.jsonl"
    cells = [odd.get(number, row) for number, row in enumerate(lines)]
    path.write_text("".join(json.dumps({"c0": each, "n": number}) + "\n" for number, each in enumerate(cells)))
    feature = Feature(name="c0", width=width, offsets=tuple(offsets.tolist()))
    expected = (values - offsets).astype(np.float32)
    for block in (int(random.integers(20, 300)), 1 << 20):
        row = 0
        for array in read_column(path, "c0", ColumnUses(lists=frozenset({"c0"})), block, ["c0"]):
            column = convert(array, feature)
            good = [place for place in range(len(array)) if row + place not in odd]
            assert sorted(column.errors) == [place for place in range(len(array)) if row + place in odd]
            np.testing.assert_array_equal(column.values[good], expected[[row + place for place in good]])
            row += len(array)
        assert row == rows


LINES = ['{"x": 1, "y": 2}'] * 8
BOTH = frozenset({"x", "y"})
USES = {"numbers": ColumnUses(numbers=BOTH), "texts": ColumnUses(texts=BOTH), "written": ColumnUses(written=BOTH)}
TWICE = ['{"x": 1, "x": 2, "y": 3}', '{"x": {"a": 1, "a": 2}, "y": 3}', '{"y": 3, "x": 2, "y": 3}']


@pytest.mark.parametrize("line", TWICE)
@pytest.mark.parametrize("block", [20, 1 << 20])
@pytest.mark.parametrize("use", USES)
@pytest.mark.parametrize("before", [LINES, [*LINES, '{"x": "odd", "y": 2}']], ids=["alike", "with an odd value"])
def test_a_key_that_occurs_twice_is_refused_with_its_row(
    folder: Path, line: str, block: int, use: str, before: list[str]
) -> None:
    path = folder / "twice.jsonl"
    path.write_text("".join(f"{each}\n" for each in [*before, line]))
    with pytest.raises(DataError, match=rf"row {len(before)}: .*(occurs|specified) twice"):
        read_column(path, "x", USES[use], block, ["x", "y"])


def test_a_csv_file_as_people_write_them(folder: Path) -> None:
    file = io.StringIO()
    writer = csv.writer(file)
    rows = [["00042", "1", "NA"], ["42", "true", ""], ["1.10", "oops", 'a "b"'], ["TRUE", "0x10", "x,y"]]
    writer.writerows([["id", "x", "t"], *rows])
    (folder / "people.csv").write_text(file.getvalue())
    uses = ColumnUses(numbers=frozenset({"x"}), written=frozenset({"id"}), texts=frozenset({"t"}))
    head = with_uses(opened(folder / "people.csv"), uses).head()
    assert head.column("id").to_pylist() == [row[0] for row in rows]
    assert head.column("t").to_pylist() == [row[2] for row in rows]
    assert numbers_of([head.column("x")], Feature(name="x")) == [1.0, 1.0, "not a number", "not a number"]
