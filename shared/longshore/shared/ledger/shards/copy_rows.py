"""Rows of ``results`` as the text that COPY reads, encoded by Arrow without a loop over rows."""

from __future__ import annotations

from uuid import UUID

import pyarrow as pa
import pyarrow.compute as pc


def result_lines(job: UUID | pa.StringArray, rows: pa.Int64Array, outputs: pa.StringArray) -> memoryview:
    """A line ``job <tab> row <tab> output`` for each row.

    :param job: one job for all rows, or the id of the job of each row, shape (n,).
    :param rows: row numbers of the job, shape (n,), no nulls.
    :param outputs: a JSON text for each row, shape (n,), no nulls and no raw control characters, as JSON demands.
    """
    # In COPY's text format a backslash escapes, so those of the JSON are doubled.
    escaped = pc.replace_substring(outputs.cast(pa.large_string()), "\\", "\\\\")
    jobs = pa.scalar(str(job), pa.large_string()) if isinstance(job, UUID) else job.cast(pa.large_string())
    lines = pc.binary_join_element_wise(
        *(jobs, pa.scalar("\t", pa.large_string()), rows.cast(pa.large_string()), pa.scalar("\t", pa.large_string())),
        *(escaped, pa.scalar("\n", pa.large_string())),
        pa.scalar("", pa.large_string()),
    )
    # The values of a string array are contiguous, so its data buffer is the text itself.
    _, offsets, data = lines.buffers()
    bounds = memoryview(offsets).cast("q")
    return memoryview(data)[bounds[lines.offset] : bounds[lines.offset + len(lines)]]
