"""The results of a job as an Arrow table."""

from __future__ import annotations

import io
from collections.abc import Iterable
from typing import NamedTuple

import pyarrow as pa
import pyarrow.json
from pydantic import JsonValue

from longshore.shared.datasets.outputs.pattern import OutputPattern
from longshore.shared.errors import InvalidInput
from longshore.shared.ledger.records import JobRecord
from longshore.shared.specs.jobs import InferSpec
from longshore.shared.store.address import public
from longshore.shared.vocabulary import JobKind

#: Size in bytes of a block of JSON for the parser; it grows if a single output is longer.
MIN_BLOCK_BYTES = 1 << 24


class ResultRow(NamedTuple):
    """The result of one row."""

    row: int
    #: What the version gave for it: docs/reference/outputs.md.
    output: dict[str, JsonValue]


def results_table(rows: Iterable[tuple[int, str]]) -> pa.Table:
    """Results as a table: a column ``row`` (int64), and one column for each key of the outputs.

    :param rows: pairs of a row number and its output, the JSON text of an object.
    """
    numbers: list[int] = []
    text = io.StringIO()
    for row, output in rows:
        numbers.append(row)
        text.write(output)
        text.write("\n")
    if not numbers:
        return pa.table({"row": pa.array([], pa.int64())})
    content = text.getvalue().encode()
    options = pa.json.ReadOptions(block_size=min(max(MIN_BLOCK_BYTES, len(content) // 64), len(content) + 1, 2**31 - 1))
    table = pa.json.read_json(pa.BufferReader(content), read_options=options)
    return table.add_column(0, "row", pa.array(numbers, pa.int64()))


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
