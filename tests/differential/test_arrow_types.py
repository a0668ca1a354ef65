"""Every type of the Arrow format, in every role that a column can have, against the values that it was made of."""

from __future__ import annotations

import contextlib
import datetime
import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path
from typing import Literal
from uuid import UUID

import numpy as np
import pandas
import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from longshore.producers.planning.kept_columns import KeptColumns
from longshore.shared.datasets.columns.matrix import to_matrix
from longshore.shared.datasets.columns.texts import to_texts
from longshore.shared.datasets.columns.types import stored
from longshore.shared.datasets.inline import decode_block, encode_block, to_table
from longshore.shared.datasets.outputs.pattern import OutputPattern, plain
from longshore.shared.datasets.outputs.writers import ParquetWriter, to_json_lines
from longshore.shared.datasets.preprocess.categories import category_texts
from longshore.shared.datasets.preprocess.dates import is_date, read_dates
from longshore.shared.datasets.readers.arrow_ipc import ArrowSource
from longshore.shared.datasets.readers.parquet import ParquetSource
from longshore.shared.datasets.schemas import infer_features
from longshore.shared.errors import InvalidInput
from longshore.shared.specs.signature import Feature, Signature
from longshore.workers.train.data.split import split_by_column
from longshore.workers.train.data.targets import read_targets
from tests.differential.cases import COMPARED

#: How a column of a type is read: as numbers, texts, lists of either, or not at all, except that it can be kept.
Reading = Literal["number", "text", "numbers", "texts", "image", "nulls", "none"]
NUMBERS = [1, 0, None, 1, 0]
TEXTS = ["train", "test", None, "a text that is longer than twelve bytes", "train"]
LISTS = [[1, 2], None, [3, 4], [5, 6], [0, 1]]
TEXT_LISTS = [["a", "b"], None, ["b", "a text that is longer"], ["c", "a"], ["b", "b"]]


@dataclass(frozen=True)
class Example:
    """Five values of a type."""

    array: pa.Array
    values: list[object]
    reading: Reading

    @property
    def name(self) -> str:
        return f"{self.array.type}"


def _of(kind: pa.DataType, values: list[object], reading: Reading) -> Example:
    return Example(pa.array(values, kind), values, reading)


def _numbers(kind: pa.DataType) -> Example:
    return _of(kind, list(NUMBERS), "number")


def _decimals(kind: pa.DataType) -> Example:
    return _of(kind, [Decimal("1.25"), Decimal("-3.50"), None, Decimal("0.00"), Decimal("7.75")], "number")


def _other(kind: pa.DataType, *values: object) -> Example:
    return _of(kind, [values[0], values[-1], None, values[0], values[-1]], "none")


def _view_of(kind: pa.DataType) -> Example:
    """A list view whose lists are out of order and overlap."""
    large = pa.types.is_large_list_view(kind)
    index = pa.int64() if large else pa.int32()
    offsets, sizes = pa.array([3, 0, 0, 0, 1], index), pa.array([2, 2, 2, 2, 2], index)
    values = pa.array([7, 8, 9, 10, 11], kind.value_type)
    built = (pa.LargeListViewArray if large else pa.ListViewArray).from_arrays(offsets, sizes, values)
    return Example(built, [[10, 11], [7, 8], [7, 8], [7, 8], [8, 9]], "numbers")


def _encoded(values: pa.Array, expected: list[object], reading: Reading) -> Example:
    """Runs of two, one and two of three values, of which the second is null."""
    ends = pa.array([2, 3, 5], pa.int32())
    return Example(pa.RunEndEncodedArray.from_arrays(ends, values), expected, reading)


def _extension(kind: pa.DataType, stored: list[object], values: list[object], reading: Reading) -> Example:
    return Example(pa.ExtensionArray.from_storage(kind, pa.array(stored, kind.storage_type)), values, reading)


def _categories(values: pa.Array, expected: list[object], reading: Reading) -> Example:
    return Example(pa.DictionaryArray.from_arrays(pa.array([0, 1, None, 0, 1], pa.uint32()), values), expected, reading)


EPOCH = pandas.Timestamp(0)
DAY, MOMENT = datetime.date(2024, 2, 29), datetime.datetime(2024, 2, 29, 1, 2, 3)
UUIDS = [UUID(int=1), UUID(int=2**127), None, UUID(int=1), UUID(int=5)]
ENTRY = {"a": 1, "b": "x"}
STRUCT = pa.struct([("a", pa.int64()), ("b", pa.string_view())])

#: The examples of each type id of the Arrow format.
EXAMPLES: dict[str, list[Example]] = {
    "NA": [Example(pa.nulls(5), [None] * 5, "nulls")],
    "BOOL": [_of(pa.bool_(), [True, False, None, True, False], "number")],
    **{
        kind: [_numbers(getattr(pa, kind.lower())())]
        for kind in ("INT8", "INT16", "INT32", "INT64", "UINT8", "UINT16", "UINT32", "UINT64")
    },
    "HALF_FLOAT": [_of(pa.float16(), [1.5, -0.25, None, 0.0, 2.0], "number")],
    "FLOAT": [_of(pa.float32(), [1.5, -0.25, None, 0.0, 2.0], "number")],
    "DOUBLE": [_of(pa.float64(), [1.5, -0.25, None, 0.0, 2.0], "number")],
    "STRING": [_of(pa.string(), list(TEXTS), "text")],
    "LARGE_STRING": [_of(pa.large_string(), list(TEXTS), "text")],
    "STRING_VIEW": [_of(pa.string_view(), list(TEXTS), "text")],
    "BINARY": [_of(pa.binary(), [b"a", b"bc", None, b"", b"d"], "image")],
    "LARGE_BINARY": [_of(pa.large_binary(), [b"a", b"bc", None, b"", b"d"], "image")],
    "BINARY_VIEW": [_of(pa.binary_view(), [b"a", b"more than twelve bytes", None, b"", b"d"], "image")],
    "FIXED_SIZE_BINARY": [
        _of(pa.binary(2), [b"ab", b"cd", None, b"ab", b"ef"], "image"),
        _extension(pa.uuid(), [each and each.bytes for each in UUIDS], list(UUIDS), "none"),
    ],
    "DATE32": [_other(pa.date32(), DAY)],
    "DATE64": [_other(pa.date64(), DAY)],
    "TIMESTAMP": [_other(pa.timestamp(unit), MOMENT) for unit in ("s", "ms", "us", "ns")],
    "TIME32": [_other(pa.time32("s"), datetime.time(1, 2, 3)), _other(pa.time32("ms"), datetime.time(1, 2, 3))],
    "TIME64": [_other(pa.time64("us"), datetime.time(1, 2, 3)), _other(pa.time64("ns"), datetime.time(1, 2, 3))],
    "DURATION": [_other(pa.duration("s"), datetime.timedelta(1)), _other(pa.duration("ns"), datetime.timedelta(1))],
    "INTERVAL_MONTH_DAY_NANO": [_other(pa.month_day_nano_interval(), pa.MonthDayNano([1, 2, 3]))],
    "DECIMAL32": [_decimals(pa.decimal32(5, 2))],
    "DECIMAL64": [_decimals(pa.decimal64(10, 2))],
    "DECIMAL128": [_decimals(pa.decimal128(20, 2))],
    "DECIMAL256": [_decimals(pa.decimal256(50, 2))],
    "LIST": [
        _of(pa.list_(pa.int64()), list(LISTS), "numbers"),
        _of(pa.list_(pa.decimal32(5, 0)), list(LISTS), "numbers"),
        _of(pa.list_(pa.string_view()), list(TEXT_LISTS), "texts"),
        _of(pa.list_(pa.dictionary(pa.int8(), pa.string())), list(TEXT_LISTS), "texts"),
    ],
    "LARGE_LIST": [_of(pa.large_list(pa.float16()), list(LISTS), "numbers")],
    "LIST_VIEW": [_view_of(pa.list_view(pa.int64())), _of(pa.list_view(pa.int8()), list(LISTS), "numbers")],
    "LARGE_LIST_VIEW": [
        _view_of(pa.large_list_view(pa.int64())),
        _of(pa.large_list_view(pa.string_view()), list(TEXT_LISTS), "texts"),
    ],
    "FIXED_SIZE_LIST": [
        _of(pa.list_(pa.int64(), 2), list(LISTS), "numbers"),
        _of(pa.list_(pa.decimal64(9, 0), 2), list(LISTS), "numbers"),
        _of(pa.list_(pa.string_view(), 2), list(TEXT_LISTS), "texts"),
        _extension(pa.fixed_shape_tensor(pa.int32(), [2]), list(LISTS), list(LISTS), "numbers"),
        _extension(
            pa.fixed_shape_tensor(pa.int32(), [2, 3], permutation=[1, 0]),
            [None, [1, 2, 3, 4, 5, 6], [0] * 6, [6, 5, 4, 3, 2, 1], [7] * 6],
            [None, [1, 4, 2, 5, 3, 6], [0] * 6, [6, 3, 5, 2, 4, 1], [7] * 6],
            "numbers",
        ),
    ],
    "STRUCT": [_other(STRUCT, ENTRY)],
    "MAP": [_other(pa.map_(pa.string(), pa.string_view()), [("a", "x")])],
    "SPARSE_UNION": [
        Example(
            pa.UnionArray.from_sparse(pa.array([0, 1, 0, 1, 0], pa.int8()), [pa.array([1] * 5), pa.array(["x"] * 5)]),
            [1, "x", 1, "x", 1],
            "none",
        )
    ],
    "DENSE_UNION": [
        Example(
            pa.UnionArray.from_dense(
                pa.array([0, 1, 0, 1, 0], pa.int8()),
                pa.array([0, 0, 0, 0, 0], pa.int32()),
                [pa.array([1]), pa.array(["x"])],
            ),
            [1, "x", 1, "x", 1],
            "none",
        )
    ],
    "DICTIONARY": [
        _categories(pa.array(["train", "b"]), ["train", "b", None, "train", "b"], "text"),
        _categories(pa.array(["train", "b"], pa.string_view()), ["train", "b", None, "train", "b"], "text"),
        _categories(pa.array([3, 4]), [3, 4, None, 3, 4], "number"),
        _categories(pa.array([3.5, None]), [3.5, None, None, 3.5, None], "number"),
        _categories(pa.array([Decimal(3), Decimal(4)], pa.decimal32(3, 0)), [3, 4, None, 3, 4], "number"),
        _categories(pa.array([[1, 2], [3, 4]]), [[1, 2], [3, 4], None, [1, 2], [3, 4]], "numbers"),
    ],
    "RUN_END_ENCODED": [
        _encoded(pa.array([1.5, None, 2.5]), [1.5, 1.5, None, 2.5, 2.5], "number"),
        _encoded(pa.array(["train", None, "b"], pa.string_view()), ["train", "train", None, "b", "b"], "text"),
        _encoded(pa.array(["train", None, "b"]).dictionary_encode(), ["train", "train", None, "b", "b"], "text"),
        _encoded(pa.array([[1, 2], None, [3, 4]]), [[1, 2], [1, 2], None, [3, 4], [3, 4]], "numbers"),
        _encoded(pa.array([DAY, None, DAY]), [DAY, DAY, None, DAY, DAY], "none"),
    ],
    # Extension types have no id of their own in pyarrow.
    "EXTENSION": [
        _extension(pa.bool8(), [1, 0, None, 5, -1], [True, False, None, True, True], "number"),
        _extension(pa.json_(), ['"a"', "{}", None, "1", "[]"], ['"a"', "{}", None, "1", "[]"], "text"),
        _extension(pa.opaque(pa.int64(), "months", "other"), [1, 2, None, 3, 4], [1, 2, None, 3, 4], "none"),
        _extension(pa.opaque(pa.list_(pa.int64()), "geo", "other"), list(LISTS), list(LISTS), "none"),
    ],
}
#: Types that pyarrow can name and that nobody can make with it.
WITHOUT_VALUES = {"INTERVAL_MONTHS", "INTERVAL_DAY_TIME"}
CASES = [
    pytest.param(each, id=f"{each.name} {number}") for kind in EXAMPLES.values() for number, each in enumerate(kind)
]

Route = Callable[[pa.Table, Path], pa.Table | None]


def _from_memory(table: pa.Table, folder: Path) -> pa.Table:
    return decode_block(encode_block(to_table(table)))


def _from_ipc(table: pa.Table, folder: Path) -> pa.Table:
    path = folder / "x.arrow"
    with pa.ipc.new_file(path, table.schema) as writer:
        writer.write_table(table)
    source = ArrowSource(str(path))
    batches = [batch for cut in source.segments(2) for batch in source.batches(cut, table.column_names, 2)]
    assert source.head().schema == source.schema
    return pa.Table.from_batches(batches, source.schema)


def _from_parquet(table: pa.Table, folder: Path) -> pa.Table | None:
    path = folder / "x.parquet"
    try:
        pq.write_table(table, path)
    except (pa.ArrowNotImplementedError, pa.ArrowInvalid):
        return None  # the format does not have the type
    source = ParquetSource(str(path))
    batches = [batch for cut in source.segments(2) for batch in source.batches(cut, table.column_names, 2)]
    assert source.head().schema == source.schema
    return pa.Table.from_batches(batches, source.schema)


ROUTES: list[Route] = [_from_memory, _from_ipc, _from_parquet]


def _tables(example: Example, folder: Path) -> Iterator[tuple[pa.Table, list[object]]]:
    """The column ``x`` by each route, whole and sliced, with a column ``y`` of numbers."""
    for start in (0, 1):
        array, values = example.array.slice(start), example.values[start:]
        table = pa.table({"x": array, "y": pa.array([1.0] * len(array))})
        for route in ROUTES:
            read = route(table, folder)
            if read is not None:
                COMPARED.add()
                yield read, values


def test_every_type_has_an_example() -> None:
    ids = {name.removeprefix("Type_") for name in vars(pa.lib) if name.startswith("Type_")}
    assert ids - {"EXTENSION"} == EXAMPLES.keys() - {"EXTENSION"} | WITHOUT_VALUES
    for name, examples in EXAMPLES.items():
        for example in examples:
            kind = example.array.type
            storage = kind.storage_type if isinstance(kind, pa.BaseExtensionType) else kind
            assert name == "EXTENSION" or storage.id == getattr(pa.lib, f"Type_{name}")


def _present(values: list[object]) -> list[object]:
    return [value for value in values if value is not None]


@pytest.mark.parametrize("example", CASES)
def test_features(example: Example, tmp_path: Path) -> None:
    kind = example.array.type
    for table, values in _tables(example, tmp_path):
        first = table.combine_chunks().to_batches()[0]
        if example.reading == "text":
            [feature] = infer_features(table.schema, first, "y")
            assert feature.kind == "category"
            assert category_texts(first.column("x")).to_pylist() == [value or None for value in values]
            continue
        if is_date(stored(kind.value_type if pa.types.is_run_end_encoded(kind) else kind)):
            [feature] = infer_features(table.schema, first, "y")
            assert feature.kind == "datetime"
            days, missing, errors = read_dates(first.column("x"), zoned=False)
            assert errors == {}
            assert missing.tolist() == [value is None for value in values]
            exact = [pandas.Timestamp(value) - EPOCH for value in values if value is not None]  # type: ignore[arg-type]
            assert days[~missing].tolist() == [each / pandas.Timedelta(days=1) for each in exact]
            continue
        if example.reading not in ("number", "numbers"):
            with pytest.raises(InvalidInput, match="column 'x'"):
                infer_features(table.schema, first, "y")
            continue
        [feature] = infer_features(table.schema, first, "y")
        signature = Signature(features=(feature,), task="regression", target="y")
        made = to_matrix(first, signature)
        assert list(made.errors) == [row for row, value in enumerate(values) if value is None]
        good = [np.float32(value).reshape(-1).tolist() for value in values if value is not None]  # type: ignore[arg-type]
        assert np.delete(made.values, list(made.errors), axis=0).tolist() == good


@pytest.mark.parametrize("example", CASES)
def test_text_features(example: Example, tmp_path: Path) -> None:
    signature = Signature(features=(Feature(name="x", kind="text"),), task="regression", target="y")
    for table, values in _tables(example, tmp_path):
        first = table.combine_chunks().to_batches()[0]
        if example.reading != "text":
            continue  # a column of numbers beside a tokenizer is a feature of numbers: see above
        [feature] = infer_features(table.schema, first, "y", tokens=8)
        assert feature.kind == "text"
        texts = to_texts(first, signature.features[0])
        assert texts.values == [value or "" for value in values]
        assert list(texts.errors) == [row for row, value in enumerate(values) if value is None]


@pytest.mark.parametrize("example", CASES)
def test_targets(example: Example, tmp_path: Path) -> None:
    for table, values in _tables(example, tmp_path):
        first = table.combine_chunks().to_batches()[0]
        if example.reading in ("none", "image"):
            with pytest.raises(InvalidInput, match="column 'x'"):
                infer_features(table.schema, first, "x")
            continue
        infer_features(table.schema, first, "x")
        if example.reading == "nulls":
            continue
        present = plain(table["x"].combine_chunks()).drop_null()
        targets = read_targets(pa.chunked_array([present]), "x", "auto")
        kept = _present(values)
        if targets.labels is None:
            assert targets.values.tolist() == [np.float32(value).tolist() for value in kept]  # type: ignore[arg-type]
        elif targets.task == "multilabel":
            read = [{targets.labels[code] for code in np.flatnonzero(row)} for row in targets.values]
            assert read == [set(value) for value in kept]  # type: ignore[call-overload]
        else:
            assert [targets.labels[int(code)] for code in targets.values] == kept


@pytest.mark.parametrize("example", CASES)
def test_split_columns(example: Example, tmp_path: Path) -> None:
    for table, values in _tables(example, tmp_path):
        first = table.combine_chunks().to_batches()[0]
        if example.reading != "text":
            with pytest.raises(InvalidInput, match="column 'x'"):
                infer_features(table.schema.append(pa.field("z", pa.int8())), first, "y", ["z"], split="x")
            continue
        rows = pa.chunked_array([plain(table["x"].combine_chunks())])
        wanted = [row for row, value in enumerate(values) if value == "train"]
        known = pa.array([row for row, value in enumerate(values) if value in ("train", "test")])
        if len(known):
            parts = split_by_column(rows.take(known), "x")
            assert [known[int(row)].as_py() for row in parts.train] == wanted


def _can_be_kept(schema: pa.Schema, pattern: OutputPattern) -> bool:
    kept = KeptColumns(("x",), (), pattern.format)
    with contextlib.suppress(InvalidInput):
        kept.check(schema)
        return True
    with pytest.raises(InvalidInput, match="column 'x'"):
        kept.check(schema)
    return False


@pytest.mark.parametrize("example", CASES)
@pytest.mark.parametrize("suffix", ["parquet", "jsonl"])
def test_kept_columns(example: Example, suffix: str, tmp_path: Path) -> None:
    pattern = OutputPattern.parse(str(tmp_path / f"*.{suffix}"))
    for table, values in _tables(example, tmp_path):
        if example.reading in ("none", "image") and not _can_be_kept(table.schema, pattern):
            continue
        KeptColumns(("x",), (), pattern.format).check(table.schema)
        rows = pa.table({"x": pa.chunked_array([plain(chunk) for chunk in table["x"].chunks])})
        # Rows are picked and filtered when failed rows run again.
        assert rows.take(pa.array([1])).num_rows == rows.filter(pa.array([True] + [False] * (len(values) - 1))).num_rows
        if suffix == "jsonl":
            lines = b"".join(bytes(to_json_lines(batch)) for batch in rows.to_batches()).splitlines()
            read = [json.loads(line)["x"] for line in lines]
            assert [value is None for value in read] == [value is None for value in values]
            if example.reading in ("text", "texts", "numbers"):
                assert read == values
            continue
        writer = ParquetWriter(str(tmp_path / "out.parquet"))
        writer.write(rows)
        writer.close()
        written = pq.read_table(tmp_path / "out.parquet")["x"].to_pylist()
        assert written == rows["x"].to_pylist() == values


def test_frames_of_polars_with_every_type() -> None:
    frame = pl.DataFrame(
        {
            "category": pl.Series(["a", None, "b"], dtype=pl.Categorical),
            "enum": pl.Series(["a", "b", None], dtype=pl.Enum(["a", "b"])),
            "text": ["x", None, "a text of more than twelve bytes"],
            "lists": [["a"], None, []],
            "array": pl.Series([[1, 2], None, [3, 4]], dtype=pl.Array(pl.Int8, 2)),
            "decimal": pl.Series([Decimal("1.5"), None, Decimal("2.5")], dtype=pl.Decimal(10, 2)),
            "struct": [{"a": "x"}, None, {"a": "y"}],
            "bytes": [b"1", None, b"2"],
        }
    )
    table = to_table(frame)
    assert table.to_pylist() == frame.to_dicts()
    assert table.take(pa.array([2, 0])).to_pylist() == frame[[2, 0]].to_dicts()
    assert not [field for field in table.schema if "view" in str(field.type)]


def test_files_of_polars(tmp_path: Path) -> None:
    frame = pl.DataFrame(
        {
            "c": pl.Series(["a", None, "b"], dtype=pl.Categorical),
            "e": pl.Series(["a", "b", None], dtype=pl.Enum(["a", "b"])),
            "s": ["x", None, "a text of more than twelve bytes"],
        }
    )
    frame.write_ipc(tmp_path / "x.arrow")
    frame.write_parquet(tmp_path / "x.parquet")
    for source in (ArrowSource(str(tmp_path / "x.arrow")), ParquetSource(str(tmp_path / "x.parquet"))):
        [batch] = [each for cut in source.segments(None) for each in source.batches(cut, ["s", "e", "c"], 10)]
        assert batch.to_pylist() == frame.select("s", "e", "c").to_dicts()
        assert batch.take(pa.array([0])).num_rows == 1


def test_a_type_that_arrow_does_not_have_is_named() -> None:
    with pytest.raises(InvalidInput, match=r"column 'n' has Int128, a type that Arrow does not have; cast it"):
        to_table(pl.DataFrame({"x": [1], "n": pl.Series([1], dtype=pl.Int128)}))


def test_numbers_of_an_unknown_extension_type_are_no_features(tmp_path: Path) -> None:
    unknown = pa.field("x", pa.int64(), metadata={"ARROW:extension:name": "other.months"})
    table = pa.Table.from_arrays(
        [pa.array([1, 2]), pa.array([0.5, 1.5])], schema=pa.schema([unknown, ("y", pa.float64())])
    )
    for route in ROUTES:
        read = route(table, tmp_path)
        assert read is not None
        with pytest.raises(
            InvalidInput, match=r"column 'x' has values of the extension type arrow.opaque.*other.months"
        ):
            infer_features(read.schema, read.to_batches()[0], "y")
