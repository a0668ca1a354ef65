"""Dates and times as numbers."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from longshore.shared.datasets.columns.json_values import is_json, plain_texts
from longshore.shared.datasets.columns.nested_lists import nulls, unwrap
from longshore.shared.datasets.columns.number_texts import NULL_WORDS, are_words, trimmed
from longshore.shared.datasets.columns.types import is_text
from longshore.shared.datasets.preprocess.encoded import Doubles, EncodedColumn, Flags
from longshore.shared.specs.transforms import PART_SIZES, DateTransform
from longshore.shared.specs.validation import shorten
from longshore.shared.vocabulary import DatePart

#: Days in a year of the Gregorian calendar.
YEAR = 365.2425
_MICROSECONDS_PER_DAY = 86_400_000_000
#: 1970-01-01 was a Thursday, and a week begins on Monday.
_FIRST_WEEKDAY = 3
#: Microseconds from 1970-01-01, naive or in UTC.
_NAIVE, _UTC = pa.timestamp("us"), pa.timestamp("us", "UTC")


def encode_dates(array: pa.Array, transform: DateTransform) -> EncodedColumn:
    """Dates as ``(n, size)``: the parts in order, then the indicator.

    :raises TypeError: the column has no dates.
    """
    days, missing, errors = read_dates(array, zoned=transform.zoned)
    if transform.fill is None:
        errors |= dict.fromkeys(np.flatnonzero(missing).tolist(), "no value, and the version was trained without such")
    days = np.where(missing, transform.fill or 0.0, days)
    out = np.zeros((len(days), transform.size), np.float32)
    start = 0
    for part in transform.parts:
        out[:, start : start + PART_SIZES[part]] = date_part(days, part, transform.origin)
        start += PART_SIZES[part]
    if transform.indicator:
        out[:, start] = missing
    out[list(errors)] = 0
    return EncodedColumn(out, errors)


def date_part(days: Doubles, part: DatePart, origin: float) -> Doubles:
    """A part of each date, ``(n, k)``.

    :param days: since 1970-01-01, with fractions.
    """
    if part == "time":
        return days[:, None] - origin
    if part == "weekday":
        weekday = (np.floor(days).astype(np.int64) + _FIRST_WEEKDAY) % 7
        return np.eye(7)[weekday]
    angle = 2 * np.pi * (days / YEAR if part == "season" else days % 1)
    return np.stack([np.sin(angle), np.cos(angle)], axis=1)


def is_date(kind: pa.DataType) -> bool:
    """Whether a column has dates or timestamps."""
    return bool(pa.types.is_date(kind) or pa.types.is_timestamp(kind))


def read_dates(array: pa.Array, *, zoned: bool) -> tuple[Doubles, Flags, dict[int, str]]:
    """Days since 1970-01-01, ``(n,)``; which are missing; and the rows that are no dates, with the reason.

    :param zoned: whether the dates have a time zone; if so, the days are those of UTC.
    :raises TypeError: the column has no dates.
    """
    array = plain_texts(array) if is_json(array.type) else unwrap(array)
    errors: dict[int, str] = {}
    if pa.types.is_null(array.type):
        return np.zeros(len(array)), np.ones(len(array), bool), errors
    if is_text(array.type):
        array, errors = _parsed(array, _UTC if zoned else _NAIVE)
    elif not is_date(array.type):
        raise TypeError(f"has the type {array.type}")
    elif (pa.types.is_timestamp(array.type) and array.type.tz is not None) != zoned:
        reason = "no time zone, but those trained on had one" if zoned else "a time zone, but those trained on had none"
        errors = dict.fromkeys(np.flatnonzero(~nulls(array)).tolist(), reason)
    missing = nulls(array)
    if errors:
        missing[list(errors)] = False
    return _days(array), missing, errors


def _days(array: pa.Array) -> Doubles:
    if pa.types.is_timestamp(array.type):
        per_day = {"s": 86_400, "ms": 86_400_000, "us": _MICROSECONDS_PER_DAY, "ns": 1000 * _MICROSECONDS_PER_DAY}
        unit = per_day[array.type.unit]
    else:
        unit = 1 if pa.types.is_date32(array.type) else 86_400_000
    whole: npt.NDArray[np.int64] = (
        array.cast(pa.int32() if pa.types.is_date32(array.type) else pa.int64())
        .cast(pa.int64())
        .fill_null(0)
        .to_numpy(zero_copy_only=False)
    )
    # Whole days and the rest apart: a fraction of a large number of nanoseconds would be rounded.
    days: Doubles = whole // unit + (whole % unit) / unit
    return days


def _parsed(texts: pa.Array, kind: pa.DataType) -> tuple[pa.Array, dict[int, str]]:
    """Texts in the format ISO 8601 as dates, and the rows that are none. Words for a missing value are null."""
    texts = trimmed(texts)
    texts = pc.if_else(are_words(texts, NULL_WORDS), pa.scalar(None, texts.type), texts)
    try:
        return texts.cast(kind), {}
    except pa.ArrowInvalid:
        pass
    zone = " with a time zone" if kind == _UTC else " without a time zone"
    values, errors = [], {}
    for row, text in enumerate(texts.to_pylist()):
        try:
            values.append(None if text is None else pa.scalar(text).cast(kind))
        except pa.ArrowInvalid:
            values.append(None)
            errors[row] = f"{shorten(text)} is not a date in the format ISO 8601{zone}, such as 2024-05-31"
    return pa.array([None if value is None else value.value for value in values], pa.int64()).cast(kind), errors


def are_dates(texts: pa.Array) -> bool | None:
    """Whether every text is a date in the format ISO 8601, with a time zone (true) or without one (false).

    :returns: ``None`` if one is not, or if there is none.
    """
    texts = trimmed(texts.drop_null())
    texts = texts.filter(pc.invert(are_words(texts, NULL_WORDS)))
    for zoned, kind in ((False, _NAIVE), (True, _UTC)):
        try:
            if len(texts.cast(kind)):
                return zoned
        except pa.ArrowInvalid:
            continue
    return None
