"""Dates and times as numbers."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from longshore.shared.datasets.columns.column import NOT_REPLACED, Column, Doubles, Flags
from longshore.shared.datasets.columns.json_values import is_json, plain_texts
from longshore.shared.datasets.columns.nested_lists import nulls, unwrap
from longshore.shared.datasets.columns.number_texts import NULL_WORDS, are_words, trimmed
from longshore.shared.datasets.columns.types import is_text
from longshore.shared.datasets.columns.utf8 import valid_texts
from longshore.shared.specs.transforms import PART_SIZES, DateTransform
from longshore.shared.specs.validation import shorten
from longshore.shared.vocabulary import DatePart

#: Days in a year of the Gregorian calendar.
YEAR = 365.2425
_MICROSECONDS_PER_DAY = 86_400_000_000
#: 1970-01-01 was a Thursday, and a week begins on Monday.
FIRST_WEEKDAY = 3
#: Microseconds from 1970-01-01, naive or in UTC.
_NAIVE, _UTC = pa.timestamp("us"), pa.timestamp("us", "UTC")


def encode_dates(array: pa.Array, transform: DateTransform) -> Column:
    """Dates as ``(n, size)``: the parts in order, then the indicator.

    :raises TypeError: the column has no dates.
    """
    days, missing, errors = read_dates(array, zoned=transform.zoned)
    if transform.fill is None:
        errors |= dict.fromkeys(np.flatnonzero(missing).tolist(), NOT_REPLACED)
    days = np.where(missing, transform.fill or 0.0, days)
    out = np.zeros((len(days), transform.size), np.float32)
    start = 0
    for part in transform.parts:
        out[:, start : start + PART_SIZES[part]] = date_part(days, part, transform.origin)
        start += PART_SIZES[part]
    if transform.indicator:
        out[:, start] = missing
    out[list(errors)] = 0
    return Column(out, errors)


def date_part(days: Doubles, part: DatePart, origin: float) -> Doubles:
    """A part of each date, ``(n, k)``.

    :param days: since 1970-01-01, with fractions.
    """
    if part == "time":
        return days[:, None] - origin
    if part == "weekday":
        weekday = (np.floor(days).astype(np.int64) + FIRST_WEEKDAY) % 7
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
    first = whole // unit
    # The last nanosecond of a day is still that day.
    days: Doubles = np.minimum(first + (whole % unit) / unit, np.nextafter(first + 1.0, first))
    return days


def _parsed(texts: pa.Array, kind: pa.DataType) -> tuple[pa.Array, dict[int, str]]:
    """Texts in the format ISO 8601 as dates, and the rows that are none. Words for a missing value are null."""
    texts = _plain(texts)
    try:
        return texts.cast(kind), {}
    except pa.ArrowInvalid:
        pass
    zone, example = (" with a time zone", "T10:00Z") if kind == _UTC else (" without a time zone", "")
    values, errors = [], {}
    for row, text in enumerate(texts.to_pylist()):
        try:
            values.append(None if text is None else pa.scalar(text).cast(kind))
        except pa.ArrowInvalid:
            values.append(None)
            errors[row] = f"{shorten(text)} is not a date in the format ISO 8601{zone}, such as 2024-05-31{example}"
    return pa.array([None if value is None else value.value for value in values], pa.int64()).cast(kind), errors


def date_zones(texts: pa.Array) -> tuple[bool, ...]:
    """What texts are as dates in the format ISO 8601: without a time zone (false), or with one (true).

    :returns: both if there is no text but words for a missing value; nothing if a text is not such a date, or if some
        have a time zone and others have none.
    """
    texts = _plain(texts).drop_null()
    fitting = []
    for zoned, kind in ((False, _NAIVE), (True, _UTC)):
        try:
            texts.cast(kind)
        except pa.ArrowInvalid:
            continue
        fitting.append(zoned)
    return tuple(fitting)


def first_zone(texts: pa.Array) -> bool | None:
    """Whether the first text that is a date has a time zone; ``None`` if there is none."""
    zones = date_zones(texts)
    if zones:
        return zones[0] if len(zones) == 1 else None
    for row in range(len(texts)):
        zones = date_zones(texts.slice(row, 1))
        if len(zones) == 1:
            return zones[0]
    return None


def _plain(texts: pa.Array) -> pa.Array:
    """Texts as Arrow reads them as dates: words for a missing value are null, and nanoseconds are cut."""
    texts = trimmed(valid_texts(texts))
    texts = pc.if_else(are_words(texts, (*NULL_WORDS, "NaT")), pa.scalar(None, texts.type), texts)
    return pc.replace_substring_regex(texts, r"([.][0-9]{6})[0-9]{1,3}", r"\1")
