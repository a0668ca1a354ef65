"""The results of a job: a table, its rows, or a frame of another package."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from functools import cached_property
from types import MappingProxyType
from typing import TYPE_CHECKING, Final, NamedTuple

import pyarrow as pa
import pyarrow.json
from pydantic import JsonValue

from longshore.producers.generated_columns import JSON, decode_cell, generated_columns
from longshore.producers.result_keys import column_type, key_column
from longshore.shared.datasets.outputs.pattern import OutputPattern
from longshore.shared.errors import InvalidInput
from longshore.shared.ledger.queries import ResultRecord
from longshore.shared.ledger.records import JobRecord
from longshore.shared.specs.generate import GenerateSpec
from longshore.shared.specs.jobs import InferSpec
from longshore.shared.store.address import public
from longshore.shared.vocabulary import JobKind

if TYPE_CHECKING:
    import pandas as pd
    import polars as pl

#: Size in bytes of a block of JSON for the parser; it grows if a single output is longer.
MIN_BLOCK_BYTES = 1 << 24
#: The column of row numbers.
ROW: Final = "row"
_NO_TYPES: Final[Mapping[str, pa.DataType]] = MappingProxyType({})


class ResultRow(NamedTuple):
    """The result of one row."""

    row: int
    #: What the version gave for it: docs/reference/outputs.md.
    output: dict[str, JsonValue]
    #: The columns of the input that the job keeps, by name; ``None`` if it keeps none.
    key: dict[str, JsonValue] | None = None


class Results:
    """The results of a job, ordered by row: the column ``row``, the columns that the job keeps, and one column for each
    key of the outputs.

    ``len(results)`` is the number of rows, ``results["label"]`` a column, and ``for row in results`` yields each row as
    a :class:`ResultRow`. Packages that read Arrow data take it as it is: ``pyarrow.table(results)``,
    ``polars.DataFrame(results)``, DuckDB. Of a job that generates text, ``data``, ``message``, ``tool_calls`` and
    ``choices`` are JSON texts there, and are decoded in frames of pandas and in rows.
    """

    def __init__(self, table: pa.Table, key_columns: Sequence[str] = ()) -> None:
        self._table = table
        self._key_columns = tuple(key_columns)

    @property
    def num_rows(self) -> int:
        """The number of rows."""
        return int(self._table.num_rows)

    @property
    def column_names(self) -> list[str]:
        """The names of the columns, in order."""
        return list(self._table.column_names)

    @property
    def key_columns(self) -> tuple[str, ...]:
        """The names of the columns that the job keeps; empty if it keeps none."""
        return self._key_columns

    def column(self, name: str) -> pa.ChunkedArray:
        """A column as Arrow has it, such as for ``.to_pylist()`` or ``.to_numpy()``.

        :raises KeyError: there is no such column.
        """
        return self._table.column(name)

    def to_arrow(self) -> pa.Table:
        """The results as an Arrow table, without a copy."""
        return self._table

    @property
    def texts(self) -> list[str]:
        """The texts of a job that generates them, ordered by row. A row that failed has none; the column ``row`` tells
        which rows these are.

        :raises KeyError: the job gives no texts.
        """
        texts: list[str] = self._table.column("text").to_pylist()
        return texts

    def to_pylist(self) -> list[dict[str, JsonValue]]:
        """The rows as dicts with all columns."""
        return [self._decoded(values) for values in self._table.to_pylist()]

    def to_pandas(self) -> pd.DataFrame:
        """The results as a pandas frame. Columns of integers with nulls are ``Int64``, so that no digit is lost.
        Columns of JSON texts are decoded.

        :raises InvalidInput: pandas is not installed.
        """
        try:
            import pandas as pd
        except ImportError:
            raise InvalidInput("pandas", "not installed; run: pip install pandas") from None
        frame: pd.DataFrame = self._table.to_pandas()
        nullable = {pa.int64(): pd.Int64Dtype(), pa.uint64(): pd.UInt64Dtype()}
        for name in self.column_names:
            column = self._table.column(name)
            if column.type in nullable and column.null_count:
                frame[name] = column.to_pandas(types_mapper=nullable.get)
        for name in self._json_columns:
            values = [decode_cell(JSON, text) for text in self._table.column(name).to_pylist()]
            frame[name] = pd.Series(values, dtype=object)
        return frame

    def to_polars(self) -> pl.DataFrame:
        """The results as a polars frame.

        :raises InvalidInput: polars is not installed.
        """
        try:
            import polars as pl
        except ImportError:
            raise InvalidInput("polars", "not installed; run: pip install polars") from None
        table = self._table
        for name in self._json_columns:  # polars has no type for JSON
            index = table.column_names.index(name)
            table = table.set_column(index, name, table.column(name).cast(pa.string()))
        return pl.DataFrame(table)

    def __len__(self) -> int:
        return self.num_rows

    def __getitem__(self, name: str) -> pa.ChunkedArray:
        return self.column(name)

    def __iter__(self) -> Iterator[ResultRow]:
        keys = frozenset(self._key_columns)
        for batch in self._table.to_batches(max_chunksize=1024):
            for values in batch.to_pylist():
                key = {name: values[name] for name in self._key_columns} if keys else None
                row = values.pop(ROW)
                # A null among JSON texts is no value of the row, whose own null is a text.
                present = {name: value for name, value in values.items() if name not in keys and self._has(name, value)}
                yield ResultRow(row, self._decoded(present), key)

    @cached_property
    def _json_columns(self) -> frozenset[str]:
        return frozenset(field.name for field in self._table.schema if field.type == JSON)

    def _has(self, name: str, value: JsonValue) -> bool:
        return value is not None or name not in self._json_columns

    def _decoded(self, values: dict[str, JsonValue]) -> dict[str, JsonValue]:
        """Values of a row, with those of JSON texts decoded."""
        if not self._json_columns:
            return values
        kinds = self._table.schema
        return {name: decode_cell(kinds.field(name).type, value) for name, value in values.items()}

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Results) and bool(self._table.equals(other._table))

    __hash__ = None  # type: ignore[assignment]  # tables have no hash

    def __arrow_c_stream__(self, requested_schema: object = None) -> object:
        return self._table.__arrow_c_stream__(requested_schema)

    def __repr__(self) -> str:
        return f"<Results {self.num_rows:,} rows: {', '.join(self.column_names)}>"


def results_table(
    rows: Iterable[ResultRecord],
    key_columns: Sequence[str] = (),
    types: Mapping[str, pa.DataType] = _NO_TYPES,
    *,
    generated: bool = False,
) -> pa.Table:
    """Results as a table: a column ``row`` (int64), the key columns, and one column for each key of the outputs.

    :param key_columns: the names of the columns that the job keeps.
    :param types: the types of key columns; those of others are found from the values.
    :param generated: whether they are of a job that generates text. Default: false.
    """
    numbers: list[int] = []
    keys: list[str] = []
    outputs: list[str] = []
    for row, output, key in rows:
        numbers.append(row)
        keys.append(key or "{}")
        outputs.append(output)
    columns = {ROW: pa.array(numbers, pa.int64())}
    if key_columns:
        decoded = json.loads(f"[{','.join(keys)}]")
        for name in key_columns:
            values = [each.get(name) for each in decoded]
            columns[name] = key_column(values, types.get(name) or column_type(values))
    if generated:
        columns |= generated_columns(outputs)
    elif numbers:
        columns |= _outputs("\n".join(outputs).encode())
    return pa.table(columns)


def _outputs(content: bytes) -> dict[str, pa.ChunkedArray]:
    """The columns of outputs, which are JSON Lines."""
    options = pa.json.ReadOptions(block_size=min(max(MIN_BLOCK_BYTES, len(content) // 64), len(content) + 1, 2**31 - 1))
    table = pa.json.read_json(pa.BufferReader(content), read_options=options)
    # Arrow takes texts that look like dates for times, and a label is what it is.
    schema = pa.schema([field.with_type(_with_texts(field.type)) for field in table.schema])
    if schema != table.schema:
        parse = pa.json.ParseOptions(explicit_schema=schema)
        table = pa.json.read_json(pa.BufferReader(content), read_options=options, parse_options=parse)
    return dict(zip(table.column_names, table.columns, strict=True))


def _with_texts(kind: pa.DataType) -> pa.DataType:
    """A type with text in place of times."""
    if pa.types.is_list(kind):
        return pa.list_(_with_texts(kind.value_type))
    if pa.types.is_struct(kind):
        return pa.struct([(field.name, _with_texts(field.type)) for field in kind])
    return pa.string() if pa.types.is_temporal(kind) else kind


def key_columns_of(record: JobRecord) -> tuple[str, ...]:
    """The names of the columns that a job keeps in the table ``results``."""
    if record.kind == JobKind.GENERATE:
        return GenerateSpec.model_validate(record.spec).key_columns
    return InferSpec.model_validate(record.spec).key_columns if record.kind == JobKind.INFER else ()


def output_pattern(record: JobRecord) -> OutputPattern | None:
    """The pattern of a job's output files; ``None`` if it writes none."""
    pattern = record.spec.get("output")
    return None if pattern is None else OutputPattern.parse(str(pattern))


def check_in_table(record: JobRecord) -> None:
    """Check that a job writes its rows to the table ``results``.

    :raises InvalidInput: it writes them to files only; the message says where.
    """
    if record.kind == JobKind.INFER and not InferSpec.model_validate(record.spec).in_table:
        raise InvalidInput(
            "job",
            f"{record.id} writes its outputs to {public(str(record.spec['output']))}; job.parts() and "
            "longshore jobs show list the files",
        )
