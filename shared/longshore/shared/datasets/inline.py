"""Rows that come with the call, from whatever holds them to one Arrow table."""

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

_FOREIGN = frozenset({pa.lib.Type_INTERVAL_MONTHS, pa.lib.Type_INTERVAL_DAY_TIME})
_TAKEN = "a list of dicts, a list of texts, a NumPy array, a dict of arrays, an Arrow table or a DataFrame"


def to_table(rows: object) -> pa.Table:
    """One table of the rows. An array's only column is called ``features``, that of texts ``text``.

    :param rows: a list of dicts or of texts, a NumPy array (first axis: rows; the others are flattened), a dict of
        columns, a ``pyarrow.Table`` or ``RecordBatch``, a pandas DataFrame, or what else speaks the Arrow C stream
        interface.
    :raises InvalidInput: there are no rows, they do not agree with each other, or are of no known type; names ``data``.
    """
    table = _convert(rows)
    if not table.num_rows or not table.num_columns:
        raise InvalidInput("data", f"there are no {'rows' if table.num_columns else 'columns'}")
    repeated, times = Counter(table.column_names).most_common(1)[0]
    if times > 1:
        raise InvalidInput("data", f"{times} columns are called {repeated!r}")
    # What others put beside a schema (pandas its index) is not wanted in the ledger.
    return table.replace_schema_metadata(None)


def encode_block(table: pa.Table) -> bytes:
    """A table as an Arrow IPC stream."""
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, table.schema) as writer:
        writer.write_table(table)
    return bytes(sink.getvalue())


def decode_block(content: bytes) -> pa.Table:
    """:raises CorruptBlob: the bytes are no whole Arrow IPC stream."""
    try:
        with pa.ipc.open_stream(content) as reader:
            table = reader.read_all()
        # Offsets that lead out of the buffers would end the process later on.
        table.validate(full=True)
        table.schema.names  # noqa: B018 - a name that is no UTF-8 is found when it is read
    except (pa.ArrowException, OSError, ValueError) as error:
        raise CorruptBlob(f"a block of input rows is damaged: {next(iter(str(error).splitlines()), '')}") from None
    for field in table.schema:
        if _is_foreign(field.type):
            raise CorruptBlob(f"a block of input rows is damaged: column {field.name!r} holds {field.type}")
    return table


def _is_foreign(kind: pa.DataType) -> bool:
    """Whether Arrow can read values of the type, and Python has none for them: nobody can have sent such rows."""
    inner = [kind.field(place).type for place in range(kind.num_fields)]
    inner += [kind.value_type] if pa.types.is_dictionary(kind) else []
    return kind.id in _FOREIGN or any(map(_is_foreign, inner))


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
        raise InvalidInput("data", f"Arrow cannot hold it: {next(iter(str(error).splitlines()), '')}") from None
    raise InvalidInput("data", f"{type(rows).__name__} is not {_TAKEN}")


def _from_columns(columns: Mapping[object, object]) -> pa.Table:
    made: dict[str, pa.Array] = {}
    for name, values in columns.items():
        if not isinstance(name, str):
            raise InvalidInput("data", f"the column name {shorten(name)} is not a string")
        if isinstance(values, np.ndarray) and values.dtype.kind in "biuf":
            made[name] = array_column(values, f"data[{name!r}]")
        elif isinstance(values, list | tuple | np.ndarray | pa.Array | pa.ChunkedArray):
            made[name] = values if isinstance(values, pa.ChunkedArray) else _column(name, values)
        else:
            raise InvalidInput("data", f"column {name!r} is {type(values).__name__}, not an array or a list")
    lengths = {name: len(column) for name, column in made.items()}
    if len(set(lengths.values())) > 1:
        raise InvalidInput(
            "data", "columns of different lengths: " + ", ".join(f"{k!r} {n}" for k, n in lengths.items())
        )
    return pa.table(made)


def _from_rows(rows: Sequence[object]) -> pa.Table:
    if not rows:
        raise InvalidInput("data", "there are no rows")
    if isinstance(rows[0], str):
        return _from_texts(rows)
    first: Mapping[str, object] = {}
    for number, row in enumerate(rows):
        if not isinstance(row, Mapping):
            raise InvalidInput("data", f"row {number} is {type(row).__name__}, not a dict; give {_TAKEN}")
        first = row if number == 0 else first
        if row.keys() != first.keys():
            missing, extra = first.keys() - row.keys(), row.keys() - first.keys()
            said = f"lacks {next(iter(missing))!r}" if missing else f"has {next(iter(extra))!r}"
            raise InvalidInput(
                "data", f"row {number} {said}, unlike row 0; give every row the same keys (None for null)"
            )
    for name in first:
        if not isinstance(name, str):
            raise InvalidInput("data", f"row 0: the key {shorten(name)} is not a string")
    mappings = cast(Sequence[Mapping[str, object]], rows)
    return pa.table({name: _column(name, [row[name] for row in mappings]) for name in first})


def _from_texts(rows: Sequence[object]) -> pa.Table:
    for number, row in enumerate(rows):
        if row is not None and not isinstance(row, str):
            raise InvalidInput("data", f"row {number} is {type(row).__name__}, and row 0 a text; give {_TAKEN}")
    return pa.table({TEXT: _column(TEXT, rows)})


def _column(name: str, values: Sequence[object] | np.ndarray | pa.Array) -> pa.Array:
    if isinstance(values, pa.Array):
        return values
    plain = [value.tolist() if isinstance(value, np.ndarray) and value.ndim > 1 else value for value in values]
    try:
        return pa.array(plain)
    except (pa.ArrowException, TypeError, ValueError, OverflowError) as error:
        row = _first_misfit(plain)
        said = next(iter(str(error).splitlines()), "")
        raise InvalidInput("data", f"row {row}, column {name!r}: {shorten(plain[row])} does not fit: {said}") from None


def _first_misfit(values: list[object]) -> int:
    """The row at which the values stop being of one type: by halving, as Arrow does not say it."""
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
