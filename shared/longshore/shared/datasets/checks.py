"""Checks that a file still has the rows and columns that are requested from it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

import pyarrow as pa

from longshore.shared.datasets.segments import Segment
from longshore.shared.errors import DataError
from longshore.shared.store.address import public


def check_request(uri: str, schema: pa.Schema, rows: int, segment: Segment, columns: Sequence[str]) -> None:
    """Check a request for rows before the file is read.

    :raises DataError: the file ends before the segment, or does not have exactly one column of each name.
    """
    if segment.stop > rows:
        raise DataError(f"{public(uri)} has {rows} rows, but had at least {segment.stop} when the job was submitted")
    counts = Counter(schema.names)
    for column in columns:
        if counts[column] != 1:
            raise DataError(f"{public(uri)} has {counts[column] or 'no'} columns called {column!r}")
