"""Texts whose bytes are not UTF-8: Parquet files and Arrow tables can have them, and Arrow's functions fail on them."""

from __future__ import annotations

import pyarrow as pa


def valid_texts(array: pa.Array) -> pa.Array:
    """A column of texts with the replacement character U+FFFD for bytes that are not UTF-8; of the same type."""
    try:
        array.validate(full=True)
        return array
    except pa.ArrowInvalid:
        values = array.cast(pa.large_binary()).to_pylist()
        decoded = [None if value is None else value.decode(errors="replace") for value in values]
        return pa.array(decoded, array.type)
