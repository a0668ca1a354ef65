"""The numbers of a preprocessed row depend on its values alone: not on other rows, batches, containers or formats."""

from __future__ import annotations

import datetime as dt
import json
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path

import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from longshore.shared.datasets.columns.matrix import to_matrix
from longshore.shared.datasets.inline import to_table
from longshore.shared.datasets.open import with_uses
from longshore.shared.datasets.uses import ColumnUses
from longshore.shared.specs.signature import Feature, Signature
from longshore.shared.specs.transforms import CategoryTransform, DateTransform, NumberTransform, TextTransform
from tests.differential.cases import COMPARED, case_count
from tests.differential.text_files import blocks_of, opened

#: A row: its values by column.
Row = dict[str, object]
#: The numbers of a row, or why it has none.
Numbers = tuple[float, ...] | str

PARTS = ("time", "season", "weekday", "hour")
SIGNATURE = Signature(
    features=(
        Feature(name="filled", transform=NumberTransform(fill=-1.5, indicator=True)),
        Feature(name="strict", transform=NumberTransform(scale="log"), offsets=None),
        Feature(name="ranked", transform=NumberTransform(fill=3, scale="quantile", points=((-5, -2), (0, 0), (9, 1)))),
        Feature(name="whole", transform=NumberTransform(fill=0), offsets=(1e9,)),
        Feature(name="kind", kind="category", transform=CategoryTransform(categories=("1", "NA", "a", "é b"))),
        Feature(name="code", kind="category", transform=CategoryTransform(categories=("-3", "0", "12"), missing=True)),
        Feature(name="flag", kind="category", transform=CategoryTransform(categories=("false", "true"), missing=True)),
        Feature(
            name="day",
            kind="datetime",
            transform=DateTransform.model_validate({"parts": PARTS, "origin": 19_000, "fill": 0.5, "indicator": True}),
        ),
        Feature(name="moment", kind="datetime", transform=DateTransform(parts=("time", "hour"), zoned=True)),
        Feature(name="words", kind="text", transform=TextTransform(length=3, buckets=64, width=4)),
    ),
    task="regression",
    target="y",
)
CASES = settings(deadline=None, derandomize=True, database=None, max_examples=case_count(20))

_NUMBERS = st.floats(-1e12, 1e12) | st.sampled_from([0.0, -0.0, 1.0, 1e-300, 5e300])
_TIMES = st.datetimes(dt.datetime(1890, 1, 1), dt.datetime(2200, 1, 1))
_TEXTS = st.text(alphabet='abÉ 1,"-\n我', max_size=9)
ROWS = st.fixed_dictionaries(
    {
        "filled": st.none() | st.floats(-1e12, 1e12),
        "strict": st.integers(0, 9).flatmap(lambda odd: _NUMBERS if odd else st.none()),
        "ranked": st.none() | _NUMBERS.filter(lambda value: abs(value) < 1e30),
        "whole": st.none() | st.integers(-(2**53), 2**53),
        "kind": st.none() | st.sampled_from(["1", "01", "1.5", "NA", "a", "A", "é b", " a", "true", 'x"y', "x,y"]),
        "code": st.none() | st.sampled_from([-3, 0, 12, 7]),
        "flag": st.none() | st.booleans(),
        "day": st.none() | _TIMES,
        "moment": st.integers(0, 9).flatmap(
            lambda odd: _TIMES.map(lambda time: time.replace(tzinfo=dt.UTC)) if odd else st.none()
        ),
        "words": st.none() | _TEXTS,
    }
)
SCHEMA = pa.schema(
    {
        **dict.fromkeys(("filled", "strict", "ranked"), pa.float64()),
        "whole": pa.int64(),
        "kind": pa.string(),
        "code": pa.int64(),
        "flag": pa.bool_(),
        "day": pa.timestamp("us"),
        "moment": pa.timestamp("us", "UTC"),
        "words": pa.string(),
    }
)


def numbers(batches: Iterable[pa.RecordBatch]) -> list[Numbers]:
    """The numbers of each row, or the error of its column."""
    found: list[Numbers] = []
    for batch in batches:
        made = to_matrix(batch, SIGNATURE)
        for row, values in enumerate(made.values.tolist()):
            error = made.errors.get(row)
            # The formats say of a missing number that it is null, or NaN.
            found.append(tuple(values) if error is None else error.partition(":")[0])
    return found


def parts_of(table: pa.Table, size: int) -> list[pa.RecordBatch]:
    batches: list[pa.RecordBatch] = table.combine_chunks().to_batches(max_chunksize=size)
    return batches


def of_file(path: Path, size: int, block: int) -> list[Numbers]:
    with blocks_of(block):
        source = with_uses(opened(path), ColumnUses.of(SIGNATURE))
        names = [feature.name for feature in SIGNATURE.features]
        return numbers(
            batch for segment in source.segments(size) for batch in source.batches(segment, names, size, strict=False)
        )


def written(value: object) -> object:
    """A value as JSON has it."""
    return value.isoformat() if isinstance(value, dt.datetime) else value


def containers(table: pa.Table, rows: list[Row]) -> Iterator[tuple[str, object]]:
    """The same rows as a caller can have them in memory."""
    frame = table.to_pandas()
    yield "pandas", frame
    yield "pandas, Arrow types", table.to_pandas(types_mapper=pd.ArrowDtype)
    yield "pandas, nanoseconds", frame.astype({"day": "datetime64[ns]", "moment": "datetime64[ns, UTC]"})
    yield "pandas, another zone", frame.assign(moment=frame["moment"].dt.tz_convert("Asia/Tokyo"))
    yield "pandas, categories", frame.assign(kind=frame["kind"].astype("category"))
    yield "polars", pl.from_arrow(table)
    yield "polars, categories", pl.from_arrow(table).with_columns(pl.col("kind").cast(pl.Categorical))  # type: ignore[union-attr]
    yield "rows", rows
    yield "columns", {name: [row[name] for row in rows] for name in SCHEMA.names}
    yield (
        "NumPy",
        {
            **{name: np.array([np.nan if row[name] is None else row[name] for row in rows], float) for name in _FLOATS},
            **{
                name: np.array([row[name] for row in rows], object)
                for name in ("whole", "kind", "code", "flag", "words")
            },
            "day": np.array([row["day"] for row in rows], "M8[us]"),
            "moment": [row["moment"] for row in rows],
        },
    )
    yield (
        "dictionaries and views",
        pa.table(
            {
                **{name: table[name] for name in SCHEMA.names},
                "code": table["code"].dictionary_encode(),
                "kind": table["kind"].cast(pa.string_view()),
                "words": table["words"].dictionary_encode(),
                "flag": table["flag"].cast(pa.int8()).cast(pa.bool_()),
            }
        ),
    )
    texts = {name: pa.array([written(row[name]) for row in rows], pa.string()) for name in ("day", "moment")}
    yield "texts", pa.table({**{name: table[name] for name in SCHEMA.names}, **texts})


_FLOATS = ("filled", "strict", "ranked")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("rows")


@given(st.lists(ROWS, min_size=1, max_size=12), st.integers(1, 5), st.integers(1, 300))
@CASES
def test_equal_rows_have_equal_numbers(folder: Path, rows: list[Row], size: int, block: int) -> None:
    table = pa.Table.from_pylist(rows, SCHEMA)
    # Each row alone, as Arrow has it.
    expected = numbers(parts_of(table, 1))
    assert all(isinstance(each, str) or len(each) == SIGNATURE.width for each in expected)
    found: Mapping[str, list[Numbers]] = {
        "batches": numbers(parts_of(table, size)),
        "reversed": numbers(parts_of(table.take(pa.array(range(len(rows)))[::-1]), 100))[::-1],
        "slice": numbers(parts_of(pa.concat_tables([table] * 2).slice(len(rows) // 2, len(rows)), 100)),
        **{name: numbers(parts_of(to_table(data), 100)) for name, data in containers(table, rows)},
    }
    half = len(rows) // 2
    assert found.pop("slice") == [*expected[half:], *expected[:half]]  # type: ignore[attr-defined]
    for name, values in found.items():
        COMPARED.add()
        assert values == expected, name

    pq.write_table(table, folder / "rows.parquet", row_group_size=size)
    with pa.OSFile(str(folder / "rows.arrow"), "wb") as file, pa.ipc.new_file(file, SCHEMA) as writer:
        writer.write_table(table, max_chunksize=size)
    lines = [json.dumps({name: written(value) for name, value in row.items()}) for row in rows]
    (folder / "rows.jsonl").write_text("\n".join(lines), encoding="utf-8")
    for name in ("rows.parquet", "rows.arrow", "rows.jsonl"):
        COMPARED.add()
        assert of_file(folder / name, size, block) == expected, name

    # A CSV file of pandas, in which a missing text is empty.
    table.to_pandas().to_csv(folder / "rows.csv", index=False)
    COMPARED.add()
    assert of_file(folder / "rows.csv", size, block) == expected, "csv"
