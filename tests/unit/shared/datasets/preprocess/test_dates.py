from __future__ import annotations

import datetime as dt
import math

import numpy as np
import pyarrow as pa
import pytest

from longshore.shared.datasets.columns.column import Column
from longshore.shared.datasets.columns.json_values import json_column
from longshore.shared.datasets.preprocess.dates import YEAR, date_zones, first_zone, read_dates
from longshore.shared.datasets.preprocess.encode import encode_column
from longshore.shared.specs.signature import Feature
from longshore.shared.specs.transforms import DateTransform

UTC = dt.UTC
MOMENTS = [
    dt.datetime(1970, 1, 1),
    dt.datetime(1969, 12, 31, 23, 59, 59),
    dt.datetime(1899, 3, 1, 6),
    dt.datetime(2024, 2, 29, 12),
    dt.datetime(2000, 2, 29),
    dt.datetime(2100, 3, 1, 18, 30),
]


def days_of(moment: dt.datetime) -> float:
    return (moment - dt.datetime(1970, 1, 1)) / dt.timedelta(days=1)


def days(array: pa.Array, *, zoned: bool = False) -> list[float]:
    values, missing, errors = read_dates(array, zoned=zoned)
    assert errors == {}
    assert not missing.any()
    return [float(value) for value in values]


def encode(array: pa.Array, *parts: str, **options: object) -> Column:
    transform = DateTransform.model_validate({"parts": parts, **options})
    return encode_column(array, Feature(name="x", kind="datetime", transform=transform))


@pytest.mark.parametrize("unit", ["s", "ms", "us", "ns"])
@pytest.mark.parametrize("zone", [None, "UTC", "Europe/Berlin", "-03:00"])
def test_timestamps_of_all_units_and_zones(unit: str, zone: str | None) -> None:
    array = pa.array(MOMENTS, pa.timestamp("us")).cast(pa.timestamp(unit))
    if zone is not None:
        array = array.cast(pa.timestamp(unit, zone))  # the same moments, told in another zone
    expected = pytest.approx([days_of(moment) for moment in MOMENTS], abs=1e-9)
    assert days(array, zoned=zone is not None) == expected
    assert days(array.dictionary_encode(), zoned=zone is not None) == expected


def test_dates_have_no_time() -> None:
    dates = [moment.date() for moment in MOMENTS]
    whole = [float(math.floor(days_of(moment))) for moment in MOMENTS]
    assert days(pa.array(dates, pa.date32())) == whole
    assert days(pa.array(dates, pa.date64())) == whole


def test_the_last_moment_of_a_day_is_not_rounded_to_the_next() -> None:
    last = np.datetime64("2024-02-29T23:59:59.999999999", "ns")  # as Period.end_time of pandas
    [value] = days(pa.array([last]))
    assert 0 < 19783 - value < 1e-10
    [written] = days(pa.array(["2024-02-29T23:59:59.999999999"]))
    assert written == pytest.approx(value, abs=1e-10)
    [late] = days(pa.array([dt.datetime(9999, 12, 31, 23, 59, 59, 999_999)]))
    assert math.floor(late) == days_of(dt.datetime(9999, 12, 31))
    assert math.floor(days(pa.array([np.datetime64("1969-12-31T23:59:59.999999999", "ns")]))[0]) == -1


@pytest.mark.parametrize(
    ("text", "moment"),
    [
        ("2024-02-29", dt.datetime(2024, 2, 29)),
        (" 2024-02-29\t", dt.datetime(2024, 2, 29)),
        ("2024-02-29T10", dt.datetime(2024, 2, 29, 10)),
        ("2024-02-29 10:30", dt.datetime(2024, 2, 29, 10, 30)),
        ("2024-02-29T10:30:15.5", dt.datetime(2024, 2, 29, 10, 30, 15, 500_000)),
        ("1969-12-31T23:59:59.000001", dt.datetime(1969, 12, 31, 23, 59, 59, 1)),
        ("0001-01-01", dt.datetime(1, 1, 1)),
        ("9999-12-31", dt.datetime(9999, 12, 31)),
    ],
)
def test_texts_in_the_format_iso_8601(text: str, moment: dt.datetime) -> None:
    for kind in (pa.string(), pa.large_string()):
        assert days(pa.array([text], kind)) == [pytest.approx(days_of(moment), abs=1e-9)]
    assert days(json_column(pa.array([f'"{text}"'.replace("\t", "")]))) == [pytest.approx(days_of(moment), abs=1e-9)]
    assert date_zones(pa.array([text])) == (False,)


@pytest.mark.parametrize("text", ["2024-02-29T12:00:00Z", "2024-02-29 14:00:00+02:00", "2024-02-29T07:00-0500"])
def test_zones_in_texts_lead_to_utc(text: str) -> None:
    assert days(pa.array([text]), zoned=True) == [days_of(dt.datetime(2024, 2, 29, 12))]
    assert date_zones(pa.array([text])) == (True,)


@pytest.mark.parametrize(
    "text",
    [
        *("oops", "2024", "20240229", "2023-02-29", "2024-13-01", "29.2.2024", "02/29/2024", "2024-02-29T25:00"),
        *("10:00", "2024-02-29T12:00:00Z", "7"),
    ],
)
def test_a_bad_text_fails_alone_and_is_named(text: str) -> None:
    values, missing, errors = read_dates(pa.array(["2024-02-29", text, None]), zoned=False)
    reason = "is not a date in the format ISO 8601 without a time zone, such as 2024-05-31"
    assert errors == {1: f"{text!r} {reason}"}
    assert missing.tolist() == [False, False, True]
    assert values[0] == 19782
    made = encode(pa.array(["2024-02-29", text, None]), "time", fill=3, indicator=True)
    assert made.values.tolist() == [[19782, 0], [0, 0], [3, 1]]
    assert made.errors == errors


def test_texts_that_are_not_utf8_fail_alone() -> None:
    texts = pa.array([b"2024-02-29", b"\xff"], pa.binary())
    _, _, errors = read_dates(pa.Array.from_buffers(pa.string(), 2, texts.buffers()), zoned=False)
    assert list(errors) == [1]


@pytest.mark.parametrize("word", ["", "NA", "null", "NaN", "NaT", "n/a", None])
def test_words_for_missing_dates(word: str | None) -> None:
    made = encode(pa.array(["2024-02-29", word]), "time", "weekday", "hour", origin=19780, fill=19781.5, indicator=True)
    assert made.values[0].tolist() == [2, 0, 0, 0, 1, 0, 0, 0, 0, 1, 0]
    np.testing.assert_allclose(made.values[1], [1.5, 0, 0, 1, 0, 0, 0, 0, 0, -1, 1], atol=1e-6)
    strict = encode(pa.array(["2024-02-29", word]), "time")
    assert strict.errors == {1: "no value, and the version does not replace missing ones"}


def test_a_zone_that_the_training_did_not_have_is_an_error() -> None:
    naive = pa.array([dt.datetime(2024, 1, 1), None], pa.timestamp("us"))
    _, missing, errors = read_dates(naive, zoned=True)
    assert errors == {0: "no time zone, but those trained on had one"}
    assert missing.tolist() == [False, True]
    assert read_dates(naive.cast(pa.timestamp("us", "UTC")), zoned=False)[2] == {
        0: "a time zone, but those trained on had none"
    }
    assert list(read_dates(pa.array([dt.date(2024, 1, 1)]), zoned=True)[2]) == [0]
    [reason] = read_dates(pa.array(["2024-01-01"]), zoned=True)[2].values()
    assert reason == "'2024-01-01' is not a date in the format ISO 8601 with a time zone, such as 2024-05-31T10:00Z"


def test_the_parts_of_a_date() -> None:
    moments = [*MOMENTS, dt.datetime(2024, 7, 1, 6)]
    made = encode(pa.array(moments), "time", "season", "weekday", "hour", origin=100).values.astype(np.float64)
    assert made.shape == (7, 12)
    for row, moment in zip(made, moments, strict=True):
        assert row[0] == np.float32(days_of(moment) - 100)
        angle = 2 * math.pi * days_of(moment) / YEAR
        np.testing.assert_allclose(row[1:3], [math.sin(angle), math.cos(angle)], atol=1e-6)
        assert np.flatnonzero(row[3:10]).tolist() == [moment.weekday()]
        hours = (moment - dt.datetime.combine(moment, dt.time())) / dt.timedelta(days=1)
        np.testing.assert_allclose(row[10:], [math.sin(2 * math.pi * hours), math.cos(2 * math.pi * hours)], atol=1e-6)


def test_a_season_begins_with_the_year() -> None:
    # Leap days move the first of January by a day at most: a degree of the circle.
    starts = pa.array([dt.datetime(year, 1, 1) for year in range(1904, 2100)])
    sine, cosine = encode(starts, "season").values.T
    assert (cosine > 0.999).all()
    assert (np.abs(sine) < math.sin(2 * math.pi * 1.6 / YEAR)).all()


def test_what_texts_are_as_dates() -> None:
    assert date_zones(pa.array(["2024-01-01", None, "NA"])) == (False,)
    assert date_zones(pa.array(["2024-01-01T00:00Z", None, ""])) == (True,)
    for empty in ([], [None, "", "NaT"]):
        assert date_zones(pa.array(empty, pa.string())) == (False, True)
        assert first_zone(pa.array(empty, pa.string())) is None
    assert date_zones(pa.array(["2024-01-01", "2024-01-01T00:00Z"])) == ()
    assert date_zones(pa.array(["2024-01-01", "soon"])) == ()
    assert first_zone(pa.array(["soon", "2024-01-01T00:00Z", "2024-01-01"])) is True
    assert first_zone(pa.array(["soon", "2024-01-01"])) is False
    assert first_zone(pa.array(["soon"])) is None


@pytest.mark.parametrize("kind", [pa.int64(), pa.time64("us"), pa.duration("s"), pa.bool_()])
def test_other_types_are_refused(kind: pa.DataType) -> None:
    with pytest.raises(TypeError):
        encode(pa.array([None], kind), "time", fill=0)


def test_a_column_of_nulls_is_missing() -> None:
    assert encode(pa.array([None, None]), "time", fill=2, indicator=True).values.tolist() == [[2, 1]] * 2
