"""Writing results as a table, JSON lines, CSV or Parquet. All but the table are written as the rows arrive."""

from __future__ import annotations

import csv
import itertools
import json
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import TextIO

from pydantic import JsonValue

from longshore.producers.cli.output import print_table
from longshore.producers.cli.table_layout import TableColumn
from longshore.producers.cli.views.short_values import short_value
from longshore.producers.documents.results import result_json
from longshore.producers.reporting.atomic_write import atomic_write
from longshore.shared.errors import InvalidInput
from longshore.shared.ledger.queries import ResultRecord
from longshore.shared.specs.generate import OUTPUT_KEYS

#: The number of rows converted to Arrow at a time.
CHUNK_ROWS = 65_536
#: The least width of a column in a table, in characters.
MIN_CELL = 12


def write(output_format: str, rows: Iterable[ResultRecord], stream: TextIO, key_columns: Sequence[str] = ()) -> None:
    """Write rows to a stream: the number of the row, the columns that the job keeps, and those of the output.

    :param output_format: ``table``, ``jsonl`` or ``csv``.
    :param key_columns: the names of the columns that the job keeps.
    """
    if output_format == "jsonl":
        for row in rows:
            stream.write(f"{result_json(row)}\n")
    elif output_format == "csv":
        _write_csv(rows, stream, key_columns)
    else:
        _print_table(rows, key_columns)


def save(
    output_format: str,
    rows: Callable[[], Iterator[ResultRecord]],
    path: Path,
    key_columns: Sequence[str] = (),
    chunk: int = CHUNK_ROWS,
    *,
    generated: bool = False,
) -> None:
    """Write rows to a file atomically.

    :param output_format: ``jsonl``, ``csv`` or ``parquet``.
    :param rows: returns a new iterator over all rows each time it is called.
    :param key_columns: the names of the columns that the job keeps.
    :param chunk: the number of rows converted to Arrow at a time.
    :param generated: whether the rows are of a job that generates text. Default: false.
    :raises InvalidInput: the file cannot be written.
    """
    with atomic_write(path) as temporary:
        if output_format == "parquet":
            _write_parquet(rows, temporary, key_columns, chunk, generated)
        elif output_format == "table":
            raise InvalidInput("format", "a table cannot be saved to a file; use jsonl, csv or parquet")
        else:
            with temporary.open("w", encoding="utf-8", newline="") as stream:
                write(output_format, rows(), stream, key_columns)


def _print_table(rows: Iterable[ResultRecord], key_columns: Sequence[str]) -> None:
    """Print rows for people: long lists are shortened, and on a terminal long texts are cut."""
    decoded = [(row.row, _decoded(row, key_columns)) for row in rows]
    names = list(dict.fromkeys(name for _, values in decoded for name in values))
    columns = [TableColumn(name, rank, min_width=MIN_CELL) for rank, name in enumerate(names, 1)]
    cells = [(row, *(short_value(values.get(name)) for name in names)) for row, values in decoded]
    print_table([TableColumn("ROW"), *columns], cells, hint="--format jsonl and -o FILE have all columns")


def _decoded(row: ResultRecord, key_columns: Sequence[str]) -> dict[str, JsonValue]:
    """The columns of a row: those that the job keeps, in its order, then those of the output."""
    key = {} if row.key is None else json.loads(row.key)
    output = json.loads(row.output)
    if isinstance(output, dict) and "finish_reason" in output:  # Postgres sorts keys by their lengths
        output = {key: output[key] for key in sorted(output, key=_position)}
    return {
        **{name: key.get(name) for name in key_columns},
        **(output if isinstance(output, dict) else {"output": output}),
    }


def _position(key: str) -> int:
    """Where a key of an output with a text is shown."""
    return OUTPUT_KEYS.index(key) if key in OUTPUT_KEYS else len(OUTPUT_KEYS)


def _cells(row: ResultRecord, key_columns: Sequence[str]) -> dict[str, object]:
    """The columns of a row. Nested values stay JSON."""
    return {name: _cell(value) for name, value in _decoded(row, key_columns).items()}


def _cell(value: JsonValue) -> object:
    if value is None or isinstance(value, str | bool):
        return value
    return json.dumps(value, ensure_ascii=False)


def _write_csv(rows: Iterable[ResultRecord], stream: TextIO, key_columns: Sequence[str]) -> None:
    remaining = iter(rows)
    first = next(remaining, None)
    names = list(key_columns) if first is None else list(_cells(first, key_columns))
    writer = csv.DictWriter(stream, ["row", *names], lineterminator="\n")
    writer.writeheader()
    for row in itertools.chain([] if first is None else [first], remaining):
        try:
            writer.writerow({**_cells(row, key_columns), "row": row.row})
        except ValueError:
            raise InvalidInput(
                "format", f"row {row.row} has other columns than the first row, which CSV cannot represent; use jsonl"
            ) from None


def _write_parquet(
    rows: Callable[[], Iterator[ResultRecord]], path: Path, key_columns: Sequence[str], size: int, generated: bool
) -> None:
    import pyarrow.parquet as pq

    from longshore.producers.result_schema import SchemaFinder

    # Two passes: the type of a column is known only after its last value, and the rows may not fit into memory.
    finder = SchemaFinder(key_columns, generated=generated)
    for chunk in _chunks(rows(), size):
        finder.add(chunk)
    found = finder.found()
    with pq.ParquetWriter(path, found.schema) as writer:
        for chunk in _chunks(rows(), size):
            writer.write_table(found.table(chunk))


def _chunks(rows: Iterator[ResultRecord], size: int) -> Iterator[list[ResultRecord]]:
    while chunk := list(itertools.islice(rows, size)):
        yield chunk
