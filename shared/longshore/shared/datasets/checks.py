"""Whether a file still has the rows and the columns that are to be read from it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

import pyarrow as pa

from longshore.shared.datasets.segments import Segment
from longshore.shared.errors import DataError
from longshore.shared.store.address import public


def check_request(uri: str, schema: pa.Schema, rows: int, segment: Segment, columns: Sequence[str]) -> None:
    """:raises DataError: the file ends before the segment does, or has not exactly one column of each name."""
    if segment.stop > rows:
        raise DataError(f"{public(uri)} has {rows} rows and had at least {segment.stop} when the job was submitted")
    there = Counter(schema.names)
    for column in columns:
        if there[column] != 1:
            raise DataError(f"{public(uri)} has {there[column] or 'no'} columns called {column!r}")
