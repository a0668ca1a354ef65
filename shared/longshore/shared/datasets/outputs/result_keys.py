"""Keys of results: the columns that ``keep`` names, as one JSON object for each row.

Keys are what callers join results by, so only columns of plain values can be kept: numbers, booleans, text, dates and
times, UUIDs. Postgres gets them as ``jsonb``, which has every digit of a number.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import Final

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from longshore.shared import limits
from longshore.shared.datasets.columns.json_values import NumberToken, is_json
from longshore.shared.datasets.outputs.json_text import json_texts
from longshore.shared.datasets.outputs.pattern import plain
from longshore.shared.datasets.schemas import list_columns, type_of_column
from longshore.shared.errors import DataError, InvalidInput

#: Digits of the largest exponent of a number: ``jsonb`` writes numbers out, so that a few bytes could become megabytes.
MAX_EXPONENT_DIGITS: Final = 3
#: What a key has if ``jsonb`` may refuse it: NUL, half of a surrogate pair, a large exponent, a list or an object.
_SUSPECT: Final = r"\\u0000|\\u[dD][89a-fA-F]|[eE][+-]?[0-9]{4}|.[\[{]"
#: Words of JSON Lines files for numbers that JSON does not have.
_NOT_FINITE: Final = ("NaN", "Infinity", "-Infinity")


@dataclass(frozen=True)
class ResultKeys:
    """The keys of n rows."""

    #: A JSON object for each row, ``(n,)``; null if it cannot be stored.
    texts: pa.LargeStringArray
    #: Why a key cannot be stored, by the index of its row.
    errors: dict[int, str]

    def of(self, rows: Iterable[int]) -> dict[int, str]:
        """The keys of some rows that can be stored, by index."""
        return {row: self.texts[row].as_py() for row in rows if row not in self.errors}


def check_key_columns(names: Sequence[str], schema: pa.Schema) -> None:
    """:raises InvalidInput: a column is missing from the data, or holds values that are no keys; names ``keep``."""
    there = Counter(schema.names)
    for name in names:
        reason = _refusal(name, type_of_column(schema, there, name, "keep"))
        if "\0" in name:
            raise InvalidInput("keep", f"column {name!r} has the character NUL in its name; rename it")
        if reason is not None:
            raise InvalidInput("keep", reason)


def result_keys(rows: pa.RecordBatch | pa.Table, names: Sequence[str]) -> ResultKeys:
    """The keys of n rows, for :func:`check_key_columns` has accepted their columns.

    Numbers that are not finite are null. Values of text files are as they are written.

    :raises DataError: a column is missing, has another type than at submission, or a time zone that is not known here.
    """
    columns = []
    for name in names:
        if name not in rows.schema.names:
            raise DataError(f"keep: the data has no column {name!r}; {list_columns(rows.schema.names)}")
        column = rows.column(name)
        if isinstance(column, pa.ChunkedArray):
            column = column.combine_chunks()
        reason = _refusal(name, column.type)
        if reason is not None:
            raise DataError(f"keep: {reason}")
        columns.append(_storable(plain(column)))
    try:
        texts = json_texts(pa.StructArray.from_arrays(columns, names=list(names)))
    except pa.ArrowInvalid as error:  # times with a zone; small images of containers have no zones
        raise DataError(f"keep: {error}; install the zones (tzdata), or keep the times in UTC or as text") from None
    errors = _too_large(texts) | _refused(texts)
    if errors:
        bad = np.zeros(len(texts), bool)
        bad[list(errors)] = True
        texts = pc.if_else(pa.array(bad), None, texts)
    return ResultKeys(texts, errors)


def keys_of_tables(tables: Sequence[pa.Table], names: Sequence[str]) -> ResultKeys:
    """The keys of several tables, one after the other; see :func:`result_keys`.

    Only tables of the same types are put together: otherwise 1 would become 1.0 beside 0.5.
    """
    errors: dict[int, str] = {}
    texts: list[pa.LargeStringArray] = []
    start = 0
    for _, group in groupby(tables, key=lambda table: table.schema):
        keys = result_keys(pa.concat_tables(group), names)
        errors |= {start + row: error for row, error in keys.errors.items()}
        start += len(keys.texts)
        texts.append(keys.texts)
    return ResultKeys(pa.concat_arrays(texts), errors)


def check_first_keys(rows: pa.RecordBatch | pa.Table, names: Sequence[str]) -> None:
    """:raises InvalidInput: no key of the first rows can be stored. Single bad keys become row errors later."""
    try:
        errors = result_keys(rows, names).errors
    except DataError as error:
        raise InvalidInput("keep", str(error).removeprefix("keep: ")) from None
    if rows.num_rows and len(errors) == rows.num_rows:
        raise InvalidInput("keep", f"row 0: {errors[0]}; the first {rows.num_rows} rows are all unusable")


def _refusal(name: str, kind: pa.DataType) -> str | None:
    """Why a column cannot be kept; ``None`` if it can."""
    kind = kind.value_type if pa.types.is_dictionary(kind) else kind
    if _is_plain(kind):
        return None
    return (
        f"column {name!r} holds {kind}, which is no key in the table; keep numbers, booleans, text, dates or times, or "
        "write the results to files with output"
    )


def _is_plain(kind: pa.DataType) -> bool:
    kinds = pa.types
    number = kinds.is_integer(kind) or kinds.is_floating(kind) or kinds.is_decimal(kind) or kinds.is_boolean(kind)
    text = kinds.is_string(kind) or kinds.is_large_string(kind) or is_json(kind)
    moment = kinds.is_date(kind) or kinds.is_time(kind) or kinds.is_timestamp(kind)
    return number or text or moment or kinds.is_null(kind) or isinstance(kind, pa.UuidType)


def _storable(column: pa.Array) -> pa.Array:
    """A column as :func:`json_texts` takes it."""
    if isinstance(column.type, pa.UuidType):
        return pa.array([None if value is None else str(value) for value in column.to_pylist()], pa.string())
    if is_json(column.type):
        texts = column.storage
        # Not made when this module is imported: the first array of a process imports pandas, where that is installed.
        texts = pc.if_else(pc.is_in(texts, pa.array(_NOT_FINITE)), None, texts)
        return pa.ExtensionArray.from_storage(column.type, texts)
    return column


def _too_large(texts: pa.LargeStringArray) -> dict[int, str]:
    """Errors of keys that have too many bytes, by row."""
    sizes = pc.binary_length(texts)
    rows = np.flatnonzero(sizes.to_numpy(zero_copy_only=False) > limits.MAX_KEY_BYTES).tolist()
    return {
        row: f"its key has {sizes[row].as_py():,} bytes as JSON, and at most {limits.MAX_KEY_BYTES:,} are stored; keep "
        "columns with short values"
        for row in rows
    }


def _refused(texts: pa.LargeStringArray) -> dict[int, str]:
    """Errors of keys that Postgres would refuse, by row."""
    suspects = np.flatnonzero(pc.match_substring_regex(texts, _SUSPECT).to_numpy(zero_copy_only=False)).tolist()
    reasons = ((row, _reason(texts[row].as_py())) for row in suspects if _is_short(texts[row]))
    return {row: f"its key cannot be stored: {reason}" for row, reason in reasons if reason is not None}


def _is_short(text: pa.LargeStringScalar) -> bool:
    return bool(text.as_buffer().size <= limits.MAX_KEY_BYTES)


def _reason(text: str) -> str | None:
    """Why Postgres would not store a key; ``None`` if it would."""
    try:
        key = json.loads(text, parse_float=NumberToken, parse_int=NumberToken)
    except RecursionError:
        return "it is nested too deeply; keep columns of plain values"
    for name, value in key.items():
        if isinstance(value, dict | list):
            return f"column {name!r} holds a list or an object; keep columns of plain values"
        if isinstance(value, NumberToken):
            exponent = value.lower().partition("e")[2].lstrip("+-0")
            if len(exponent) > MAX_EXPONENT_DIGITS:
                return f"column {name!r} holds a number with an exponent of {len(exponent)} digits; write it as text"
        elif isinstance(value, str) and ("\0" in value or not _is_unicode(value)):
            return f"column {name!r} has a character that Postgres does not store; remove it"
    return None


def _is_unicode(text: str) -> bool:
    """Whether a text has no half of a surrogate pair."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True
