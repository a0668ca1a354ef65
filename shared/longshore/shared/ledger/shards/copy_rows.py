"""Rows of ``results`` as the text that COPY reads, encoded by Arrow without a loop over rows; and ``row_errors``."""

from __future__ import annotations

import re
from collections.abc import Mapping
from types import MappingProxyType
from typing import Final
from uuid import UUID

import pyarrow as pa
import pyarrow.compute as pc
from psycopg import Copy
from psycopg.types.json import Jsonb

from longshore.shared.ledger import statements

#: The keys of rows whose job keeps no columns.
NO_KEYS: Final[Mapping[int, str]] = MappingProxyType({})
#: Characters that Postgres stores in no text. An error can quote them from the input.
_NOT_STORED: Final = re.compile(r"[\0\ud800-\udfff]")


def copy_statement(keyed: bool) -> str:
    """The statement that reads result lines, with or without keys."""
    return statements.attempts.COPY_KEYED_RESULTS if keyed else statements.attempts.COPY_RESULTS


def result_lines(
    job: UUID | pa.StringArray, rows: pa.Int64Array, outputs: pa.StringArray, keys: pa.StringArray | None = None
) -> memoryview:
    """A line ``job <tab> row <tab> output`` for each row, with ``<tab> key`` at its end if there are keys.

    :param job: one job for all rows, or the id of the job of each row, shape (n,).
    :param rows: row numbers of the job, shape (n,), no nulls.
    :param outputs: a JSON text for each row, shape (n,), no nulls and no raw control characters, as JSON demands.
    :param keys: as ``outputs``, for :attr:`~longshore.shared.ledger.statements.attempts.COPY_KEYED_RESULTS`.
    """
    jobs = pa.scalar(str(job), pa.large_string()) if isinstance(job, UUID) else job.cast(pa.large_string())
    tab, end = pa.scalar("\t", pa.large_string()), pa.scalar("\n", pa.large_string())
    columns = [jobs, tab, rows.cast(pa.large_string()), tab, _escaped(outputs)]
    if keys is not None:
        columns += [tab, _escaped(keys)]
    lines = pc.binary_join_element_wise(*columns, end, pa.scalar("", pa.large_string()))
    # The values of a string array are contiguous, so its data buffer is the text itself.
    _, offsets, data = lines.buffers()
    bounds = memoryview(offsets).cast("q")
    return memoryview(data)[bounds[lines.offset] : bounds[lines.offset + len(lines)]]


def copy_row_errors(copy: Copy, job: UUID, errors: Mapping[int, str], keys: Mapping[int, str]) -> None:
    """Write the errors of rows of a job, by row, with their keys as JSON texts."""
    copy.set_types(["uuid", "int8", "text", "jsonb"])
    for row, error in errors.items():
        key = keys.get(row)
        text = _NOT_STORED.sub("\N{REPLACEMENT CHARACTER}", error)
        copy.write_row((job, row, text, None if key is None else Jsonb(key, dumps=str)))


def _escaped(texts: pa.StringArray) -> pa.LargeStringArray:
    """In COPY's text format a backslash escapes, so those of the JSON are doubled."""
    return pc.replace_substring(texts.cast(pa.large_string()), "\\", "\\\\")
