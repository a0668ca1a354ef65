"""Converts rows passed in a call, in any supported form, to one Arrow table."""

from __future__ import annotations

import sys
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, cast

import numpy as np
import pyarrow as pa

from longshore.shared.datasets.bounds import TooLarge
from longshore.shared.datasets.columns.arrays import FEATURES, TEXT, array_column
from longshore.shared.datasets.columns.containers import plain
from longshore.shared.datasets.columns.plain_types import plain_table
from longshore.shared.datasets.conversion import list_column, tensor_column, to_column
from longshore.shared.datasets.index_columns import keep_index
from longshore.shared.errors import CorruptBlob, InvalidInput
from longshore.shared.specs.validation import shorten

if TYPE_CHECKING:
    import pandas as pd

#: Arrow types that have no values in Python.
_UNSUPPORTED_TYPES = frozenset({pa.lib.Type_INTERVAL_MONTHS, pa.lib.Type_INTERVAL_DAY_TIME})
_SUPPORTED_INPUTS = "a list of dicts, a list of texts, a NumPy array, a dict of arrays, an Arrow table or a DataFrame"


def to_table(rows: object) -> pa.Table:
    """Convert rows to a table. The only column of an array is called ``features``, that of texts ``text``.

    :param rows: a list of dicts or of texts, a NumPy array (first axis: rows; the others are flattened), a dict of
        columns, a ``pyarrow.Table`` or ``RecordBatch``, a pandas DataFrame, or any object that supports the Arrow C
        stream interface.
    :raises InvalidInput: there are no rows, they are inconsistent, or their type is not supported; names ``data``.
    """
    try:
        table = _convert(rows)
    except RecursionError:
        raise InvalidInput("data", "a value is nested too deeply; give it as a JSON text") from None
    if not table.num_rows or not table.num_columns:
        raise InvalidInput("data", f"there are no {'rows' if table.num_columns else 'columns'}")
    repeated, times = Counter(table.column_names).most_common(1)[0]
    if times > 1:
        raise InvalidInput("data", f"{times} columns are called {repeated!r}")
    # Other metadata that packages add to a schema must not get into the ledger.
    try:
        return plain_table(table.replace_schema_metadata(keep_index(table.schema).metadata or None))
    except TooLarge as error:
        raise InvalidInput("data", str(error)) from None


def encode_block(table: pa.Table) -> bytes:
    """Serialise a table as an Arrow IPC stream."""
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, table.schema) as writer:
        writer.write_table(table)
    return bytes(sink.getvalue())


def decode_block(content: bytes) -> pa.Table:
    """Read a table from an Arrow IPC stream.

    :raises CorruptBlob: the bytes are not a complete Arrow IPC stream.
    """
    try:
        with pa.ipc.open_stream(content) as reader:
            table = reader.read_all()
        # Offsets that point outside the buffers would crash the process later.
        table.validate(full=True)
        table.schema.names  # noqa: B018 - names are decoded here, which fails if one is not UTF-8
    except (pa.ArrowException, OSError, ValueError) as error:
        raise CorruptBlob(f"a block of input rows is damaged: {next(iter(str(error).splitlines()), '')}") from None
    for field in table.schema:
        if _is_unsupported(field.type):
            raise CorruptBlob(f"a block of input rows is damaged: column {field.name!r} has the type {field.type}")
    return plain_table(table)


def _is_unsupported(kind: pa.DataType) -> bool:
    """Whether Python has no values of the Arrow type, so that no caller can have sent such rows."""
    inner = [kind.field(index).type for index in range(kind.num_fields)]
    inner += [kind.value_type] if pa.types.is_dictionary(kind) else []
    return kind.id in _UNSUPPORTED_TYPES or any(map(_is_unsupported, inner))


def _convert(rows: object) -> pa.Table:
    if isinstance(rows, pa.Table):
        return rows
    if isinstance(rows, pa.RecordBatch):
        return pa.Table.from_batches([rows])
    if isinstance(rows, np.ndarray):
        names = rows.dtype.names
        return pa.table({FEATURES: array_column(rows)}) if names is None else _from_columns({n: rows[n] for n in names})
    if isinstance(rows, Mapping):
        return _from_columns(rows)
    if isinstance(rows, Sequence) and not isinstance(rows, str | bytes | bytearray):
        return _from_rows(rows)
    package = type(rows).__module__.partition(".")[0]
    if package in ("torch", "scipy"):
        column = tensor_column(FEATURES, rows)
        if column is not None:
            return pa.table({FEATURES: column})
    _refuse_single(rows, package)
    try:
        if package == "pandas" and isinstance(rows, sys.modules["pandas"].DataFrame):
            return _from_frame(rows)
        if hasattr(rows, "__arrow_c_stream__"):
            return _from_stream(rows, package)
    except (pa.ArrowException, TypeError, ValueError, OverflowError) as error:
        raise InvalidInput("data", f"cannot be converted to Arrow: {next(iter(str(error).splitlines()), '')}") from None
    raise InvalidInput("data", f"{type(rows).__name__} is not {_SUPPORTED_INPUTS}")


def _refuse_single(rows: object, package: str) -> None:
    """:raises InvalidInput: it is one column, or a frame that was not computed or has Python objects."""
    name = type(rows).__name__
    if package in ("pandas", "polars") and name.endswith(("Series", "Index", "Array", "Categorical")):
        column = getattr(rows, "name", None) or "text"
        raise InvalidInput("data", f"{name} is one column, not a table; give a dict such as {{{column!r}: values}}")
    if package != "polars":
        return
    polars = sys.modules["polars"]
    if isinstance(rows, polars.LazyFrame):
        raise InvalidInput("data", "a LazyFrame has no rows yet; call collect()")
    if isinstance(rows, polars.DataFrame):
        for column, kind in rows.schema.items():
            # polars passes the addresses of the objects to Arrow.
            if kind == polars.Object:
                raise InvalidInput("data", f"column {column!r} has Python objects; convert it to a type of polars")


def _from_stream(rows: object, package: str) -> pa.Table:
    try:
        return pa.table(rows)
    except pa.ArrowException:
        if package != "polars" or not isinstance(rows, sys.modules["polars"].DataFrame):
            raise
    # Arrow does not say which column has a type that it does not know, such as integers of 128 bits.
    for column in rows:
        try:
            pa.table(column.to_frame())
        except pa.ArrowException:
            raise InvalidInput(
                "data", f"column {column.name!r} has {column.dtype}, a type that Arrow does not have; cast it"
            ) from None
    return pa.table(rows)


def _from_frame(frame: pd.DataFrame) -> pa.Table:
    """Convert a pandas frame. Arrow ignores masks within objects, and refuses sparse columns."""
    pandas = sys.modules["pandas"]
    if not any(kind.kind == "O" or isinstance(kind, pandas.SparseDtype) for kind in frame.dtypes):
        return pa.Table.from_pandas(frame, preserve_index=False)
    names = [str(name) for name in frame.columns]
    columns = [to_column(name, frame.iloc[:, position]) for position, name in enumerate(names)]
    return pa.table(columns, names=names)


def _from_columns(columns: Mapping[object, object]) -> pa.Table:
    arrays: dict[str, pa.Array | pa.ChunkedArray] = {}
    for name, values in columns.items():
        if not isinstance(name, str):
            raise InvalidInput("data", f"the column name {shorten(name)} is not a string")
        _check_name(name)
        arrays[name] = to_column(name, values)
    lengths = {name: len(column) for name, column in arrays.items()}
    if len(set(lengths.values())) > 1:
        raise InvalidInput(
            "data", "columns of different lengths: " + ", ".join(f"{k!r} {n}" for k, n in lengths.items())
        )
    return pa.table(arrays)


def _check_name(name: str) -> None:
    try:
        name.encode()
    except UnicodeEncodeError:
        raise InvalidInput("data", f"the column name {name!r} is no text: it has half of a surrogate pair") from None


def _from_rows(rows: Sequence[object]) -> pa.Table:
    if not rows:
        raise InvalidInput("data", "there are no rows")
    if isinstance(next((row for row in rows if not _is_missing(row)), None), str):
        return _from_texts(rows)
    first: Mapping[str, object] = {}
    for number, row in enumerate(rows):
        if not isinstance(row, Mapping):
            raise InvalidInput("data", f"row {number} is {type(row).__name__}, not a dict; give {_SUPPORTED_INPUTS}")
        first = row if number == 0 else first
        if row.keys() != first.keys():
            missing, extra = first.keys() - row.keys(), row.keys() - first.keys()
            difference = f"lacks {next(iter(missing))!r}" if missing else f"has {next(iter(extra))!r}"
            raise InvalidInput(
                "data", f"row {number} {difference}, unlike row 0; give every row the same keys (None for null)"
            )
    for name in first:
        if not isinstance(name, str):
            raise InvalidInput("data", f"row 0: the key {shorten(name)} is not a string")
        _check_name(name)
    mappings = cast(Sequence[Mapping[str, object]], rows)
    return pa.table({name: list_column(name, [row[name] for row in mappings]) for name in first})


def _from_texts(rows: Sequence[object]) -> pa.Table:
    for number, row in enumerate(rows):
        if not isinstance(row, str) and not _is_missing(row):
            raise InvalidInput(
                "data", f"row {number} is {type(row).__name__}, but other rows are texts; give {_SUPPORTED_INPUTS}"
            )
    return pa.table({TEXT: pa.array([row if isinstance(row, str) else None for row in rows], pa.string())})


def _is_missing(row: object) -> bool:
    """Whether the row of a list of texts is missing: ``None``, NaN, or another mark of a missing value."""
    return row is None or (not isinstance(row, str | Mapping) and (plain(row) is None or row != row))
