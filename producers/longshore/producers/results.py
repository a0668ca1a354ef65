"""Results as a table."""

from __future__ import annotations

import io
from collections.abc import Iterable

import pyarrow as pa
import pyarrow.json

from longshore.shared.datasets.outputs.pattern import OutputPattern
from longshore.shared.errors import InvalidInput
from longshore.shared.ledger.records import JobRecord
from longshore.shared.specs.jobs import InferSpec
from longshore.shared.store.address import public

#: Bytes of JSON in one block for the parser; a longer single output makes the block grow.
BLOCK = 1 << 24


def results_table(rows: Iterable[tuple[int, str]]) -> pa.Table:
    """A column ``row`` (int64), and one for each key that the outputs have.

    :param rows: (row, output as JSON text of an object).
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
    options = pa.json.ReadOptions(block_size=min(max(BLOCK, len(content) // 64), len(content) + 1, 2**31 - 1))
    table = pa.json.read_json(pa.BufferReader(content), read_options=options)
    return table.add_column(0, "row", pa.array(numbers, pa.int64()))


def output_of(record: JobRecord) -> OutputPattern | None:
    """Where a job writes its files; ``None`` for one that writes none."""
    given = record.spec.get("output")
    return None if given is None else OutputPattern.parse(str(given))


def check_in_table(record: JobRecord) -> None:
    """:raises InvalidInput: the job's rows are not in the table ``results``; says where they are."""
    if record.kind == "infer" and not InferSpec.model_validate(record.spec).in_table:
        raise InvalidInput(
            "job",
            f"{record.id} writes its outputs to {public(str(record.spec['output']))}; job.parts() and "
            "longshore jobs show list the files",
        )
