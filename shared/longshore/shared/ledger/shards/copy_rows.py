"""Rows of ``results`` as the text that COPY reads, made by Arrow: no Python per row."""

from __future__ import annotations

from uuid import UUID

import pyarrow as pa
import pyarrow.compute as pc


def result_lines(job: UUID | pa.StringArray, rows: pa.Int64Array, outputs: pa.StringArray) -> memoryview:
    """``job <tab> row <tab> output``, a line each.

    :param job: one job for all rows, or the id of each row's, shape (n,).
    :param rows: row numbers of the job, shape (n,), no nulls.
    :param outputs: one JSON text a row, shape (n,), no nulls and no raw control characters, as JSON has it.
    """
    # In COPY's text format a backslash escapes, so those of the JSON are doubled.
    escaped = pc.replace_substring(outputs.cast(pa.large_string()), "\\", "\\\\")
    jobs = pa.scalar(str(job), pa.large_string()) if isinstance(job, UUID) else job.cast(pa.large_string())
    lines = pc.binary_join_element_wise(
        *(jobs, pa.scalar("\t", pa.large_string()), rows.cast(pa.large_string()), pa.scalar("\t", pa.large_string())),
        *(escaped, pa.scalar("\n", pa.large_string())),
        pa.scalar("", pa.large_string()),
    )
    # The values of a string array lie one after the other: its data buffer is the text itself.
    _, offsets, data = lines.buffers()
    bounds = memoryview(offsets).cast("q")
    return memoryview(data)[bounds[lines.offset] : bounds[lines.offset + len(lines)]]
