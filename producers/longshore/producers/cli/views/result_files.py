"""Writing results as a table, JSON lines, CSV or Parquet. All but the table are written as the rows arrive."""

from __future__ import annotations

import csv
import itertools
import json
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import TextIO

from pydantic import JsonValue

from longshore.producers.cli.output import print_table
from longshore.producers.cli.table_layout import TableColumn
from longshore.producers.cli.views.short_values import short_value
from longshore.producers.reporting.atomic_write import atomic_write
from longshore.shared.errors import InvalidInput

#: A row number and its output as JSON text.
Row = tuple[int, str]
#: The number of rows converted to Arrow at a time.
CHUNK_ROWS = 65_536
#: The least width of a column in a table, in characters.
MIN_CELL = 12


def write(output_format: str, rows: Iterable[Row], stream: TextIO) -> None:
    """Write rows to a stream.

    :param output_format: ``table``, ``jsonl`` or ``csv``.
    """
    if output_format == "jsonl":
        for row, output in rows:
            stream.write(_line(row, output))
    elif output_format == "csv":
        _write_csv(rows, stream)
    else:
        _print_table(rows)


def save(output_format: str, rows: Callable[[], Iterator[Row]], path: Path, chunk: int = CHUNK_ROWS) -> None:
    """Write rows to a file atomically.

    :param output_format: ``jsonl``, ``csv`` or ``parquet``.
    :param rows: returns a new iterator over all rows each time it is called.
    :param chunk: the number of rows converted to Arrow at a time.
    :raises InvalidInput: the file cannot be written.
    """
    with atomic_write(path) as temporary:
        if output_format == "parquet":
            _write_parquet(rows, temporary, chunk)
        elif output_format == "table":
            raise InvalidInput("format", "a table cannot be saved to a file; use jsonl, csv or parquet")
        else:
            with temporary.open("w", encoding="utf-8", newline="") as stream:
                write(output_format, rows(), stream)


def _line(row: int, output: str) -> str:
    # The output is JSON already, so there is no need to parse and serialize it.
    if output.startswith("{"):
        return f'{{"row": {row}, {output[1:]}\n' if output != "{}" else f'{{"row": {row}}}\n'
    return f'{{"row": {row}, "output": {output}}}\n'


def _print_table(rows: Iterable[Row]) -> None:
    """Print rows for people: long lists are shortened, and on a terminal long texts are cut."""
    decoded = [(row, _decoded(output)) for row, output in rows]
    names = list(dict.fromkeys(name for _, values in decoded for name in values))
    columns = [TableColumn(name, rank, min_width=MIN_CELL) for rank, name in enumerate(names, 1)]
    cells = [(row, *(short_value(values.get(name)) for name in names)) for row, values in decoded]
    print_table([TableColumn("ROW"), *columns], cells, hint="--format jsonl and -o FILE have all columns")


def _decoded(output: str) -> dict[str, JsonValue]:
    """The columns of an output."""
    decoded = json.loads(output)
    return decoded if isinstance(decoded, dict) else {"output": decoded}


def _cells(output: str) -> dict[str, object]:
    """The columns of an output. Nested values stay JSON."""
    return {name: _cell(value) for name, value in _decoded(output).items()}


def _cell(value: JsonValue) -> object:
    if value is None or isinstance(value, str):
        return value
    return json.dumps(value, ensure_ascii=False)


def _write_csv(rows: Iterable[Row], stream: TextIO) -> None:
    remaining = iter(rows)
    first = next(remaining, None)
    names = [] if first is None else list(_cells(first[1]))
    writer = csv.DictWriter(stream, ["row", *names], lineterminator="\n")
    writer.writeheader()
    for row, output in itertools.chain([] if first is None else [first], remaining):
        try:
            writer.writerow({**_cells(output), "row": row})
        except ValueError:
            raise InvalidInput(
                "format", f"row {row} has other columns than the first row, which CSV cannot represent; use jsonl"
            ) from None


def _write_parquet(rows: Callable[[], Iterator[Row]], path: Path, size: int) -> None:
    import pyarrow as pa
    import pyarrow.parquet as pq

    from longshore.producers.results import results_table

    # Two passes: the type of a column is known only after its last value, and the rows may not fit into memory.
    schema = results_table([]).schema
    for chunk in _chunks(rows(), size):
        schema = pa.unify_schemas([schema, results_table(chunk).schema], promote_options="permissive")
    with pq.ParquetWriter(path, schema) as writer:
        for chunk in _chunks(rows(), size):
            table = results_table(chunk)
            missing = [field for field in schema if field.name not in table.column_names]
            for field in missing:
                table = table.append_column(field, pa.nulls(table.num_rows, field.type))
            writer.write_table(table.select(schema.names).cast(schema))


def _chunks(rows: Iterator[Row], size: int) -> Iterator[list[Row]]:
    while chunk := list(itertools.islice(rows, size)):
        yield chunk
