"""Converts rows passed in a call, in any supported form, to one Arrow table."""

from __future__ import annotations

import sys
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import cast

import numpy as np
import pyarrow as pa

from longshore.shared.datasets.columns.arrays import FEATURES, TEXT, array_column
from longshore.shared.errors import CorruptBlob, InvalidInput
from longshore.shared.specs.validation import shorten

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
    table = _convert(rows)
    if not table.num_rows or not table.num_columns:
        raise InvalidInput("data", f"there are no {'rows' if table.num_columns else 'columns'}")
    repeated, times = Counter(table.column_names).most_common(1)[0]
    if times > 1:
        raise InvalidInput("data", f"{times} columns are called {repeated!r}")
    # Metadata that other packages add to a schema (such as pandas' index) must not get into the ledger.
    return table.replace_schema_metadata(None)


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
    return table


def _is_unsupported(kind: pa.DataType) -> bool:
    """Whether Python has no values of the Arrow type, so that no caller can have sent such rows."""
    inner = [kind.field(index).type for index in range(kind.num_fields)]
    inner += [kind.value_type] if pa.types.is_dictionary(kind) else []
    return kind.id in _UNSUPPORTED_TYPES or any(map(_is_unsupported, inner))


def _convert(rows: object) -> pa.Table:
    pandas = sys.modules.get("pandas")
    if isinstance(rows, pa.Table):
        return rows
    if isinstance(rows, pa.RecordBatch):
        return pa.Table.from_batches([rows])
    if isinstance(rows, np.ndarray):
        return pa.table({FEATURES: array_column(rows)})
    if isinstance(rows, Mapping):
        return _from_columns(rows)
    if isinstance(rows, Sequence) and not isinstance(rows, str | bytes | bytearray):
        return _from_rows(rows)
    try:
        if pandas is not None and isinstance(rows, pandas.DataFrame):
            return pa.Table.from_pandas(rows, preserve_index=False)
        if hasattr(rows, "__arrow_c_stream__"):
            return pa.table(rows)
    except (pa.ArrowException, TypeError, ValueError, OverflowError) as error:
        raise InvalidInput("data", f"cannot be converted to Arrow: {next(iter(str(error).splitlines()), '')}") from None
    raise InvalidInput("data", f"{type(rows).__name__} is not {_SUPPORTED_INPUTS}")


def _from_columns(columns: Mapping[object, object]) -> pa.Table:
    arrays: dict[str, pa.Array] = {}
    for name, values in columns.items():
        if not isinstance(name, str):
            raise InvalidInput("data", f"the column name {shorten(name)} is not a string")
        if isinstance(values, np.ndarray) and values.dtype.kind in "biuf":
            arrays[name] = array_column(values, f"data[{name!r}]")
        elif isinstance(values, list | tuple | np.ndarray | pa.Array | pa.ChunkedArray):
            arrays[name] = values if isinstance(values, pa.ChunkedArray) else _column(name, values)
        else:
            raise InvalidInput("data", f"column {name!r} is {type(values).__name__}, not an array or a list")
    lengths = {name: len(column) for name, column in arrays.items()}
    if len(set(lengths.values())) > 1:
        raise InvalidInput(
            "data", "columns of different lengths: " + ", ".join(f"{k!r} {n}" for k, n in lengths.items())
        )
    return pa.table(arrays)


def _from_rows(rows: Sequence[object]) -> pa.Table:
    if not rows:
        raise InvalidInput("data", "there are no rows")
    if isinstance(rows[0], str):
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
    mappings = cast(Sequence[Mapping[str, object]], rows)
    return pa.table({name: _column(name, [row[name] for row in mappings]) for name in first})


def _from_texts(rows: Sequence[object]) -> pa.Table:
    for number, row in enumerate(rows):
        if row is not None and not isinstance(row, str):
            raise InvalidInput(
                "data", f"row {number} is {type(row).__name__}, but row 0 is a text; give {_SUPPORTED_INPUTS}"
            )
    return pa.table({TEXT: _column(TEXT, rows)})


def _column(name: str, values: Sequence[object] | np.ndarray | pa.Array) -> pa.Array:
    if isinstance(values, pa.Array):
        return values
    items = [value.tolist() if isinstance(value, np.ndarray) and value.ndim > 1 else value for value in values]
    try:
        return pa.array(items)
    except (pa.ArrowException, TypeError, ValueError, OverflowError) as error:
        row = _first_misfit(items)
        reason = next(iter(str(error).splitlines()), "")
        raise InvalidInput(
            "data", f"row {row}, column {name!r}: {shorten(items[row])} does not fit: {reason}"
        ) from None


def _first_misfit(values: list[object]) -> int:
    """The first row whose value does not fit the type of the rows before: by bisection, as Arrow does not report it."""
    start, stop = 0, len(values)
    while stop - start > 1:
        middle = (start + stop) // 2
        try:
            pa.array(values[:middle])
        except (pa.ArrowException, TypeError, ValueError, OverflowError):
            stop = middle
        else:
            start = middle
    return start
