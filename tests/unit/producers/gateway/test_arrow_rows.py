"""Rows as an Arrow stream in a body."""

from __future__ import annotations

import base64

import pyarrow as pa
import pytest

from longshore.producers.gateway.bodies.data import ARROW, client_data
from longshore.shared.errors import InvalidInput


def in_body(table: pa.Table) -> dict[str, str]:
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, table.schema) as writer:
        writer.write_table(table)
    return {ARROW: base64.b64encode(sink.getvalue().to_pybytes()).decode()}


def test_a_short_stream_has_no_rows_without_end() -> None:
    fine = pa.table({"x": [1.5, None], "empty": pa.nulls(2)})
    assert client_data(in_body(fine)).equals(fine)  # type: ignore[arg-type, union-attr]
    with pytest.raises(InvalidInput, match="arrow has 1,000,000,000 rows in"):
        client_data(in_body(pa.table({"x": pa.nulls(10**9)})))  # type: ignore[arg-type]
