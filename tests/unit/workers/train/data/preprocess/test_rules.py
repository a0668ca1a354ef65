"""What becomes of each kind of column, in the order of the table in the documentation."""

from __future__ import annotations

import datetime as dt
import re
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

from longshore.shared.errors import InvalidInput
from longshore.shared.specs.jobs import InlineInput
from longshore.shared.specs.signature import Feature
from longshore.shared.specs.train import TrainSpec
from longshore.shared.specs.transforms import CategoryTransform, DateTransform, NumberTransform, TextTransform
from longshore.workers.train.data.dataset import Tables, read_training_data

DOCUMENT = Path(__file__).parents[6] / "docs" / "how-to" / "training" / "tables.md"
ROWS = 400
#: Rows to train on: about three of four.
RANDOM = np.random.default_rng(0)
TRAINED = RANDOM.random(ROWS) < 0.75
DAYS = [dt.datetime(2024, 1, 1) + dt.timedelta(hours=int(hours)) for hours in RANDOM.integers(0, 24 * 200, ROWS)]
WORDS = np.array([f"w{number}" for number in range(300)])


def fitted(column: pa.Array, **how: object) -> tuple[list[Feature], tuple[str, ...]]:
    """The features of a table of this column ``x`` and one of texts, and the notes of the training."""
    table = pa.table(
        {
            "x": column,
            "other": np.array(["a", "b"])[np.arange(len(column)) % 2],
            "y": np.arange(len(column)) % 3 / 2,
            "part": np.where(TRAINED[: len(column)], "train", "validation"),
        }
    )
    values = {"model": "m", "family": "linear", "data": InlineInput(block="b", offset=0, rows=1), "target": "y"}
    spec = TrainSpec.model_validate({**values, "split": "part", "preprocess": {"x": how} if how else None})
    data = read_training_data(spec, Tables(table))
    assert np.isfinite(data.features).all()
    return [feature for feature in data.signature.features if feature.name == "x"], data.notes


def one(column: pa.Array, **how: object) -> Feature:
    [feature], _ = fitted(column, **how)
    return feature


def texts(*values: str | None, rows: int = ROWS) -> pa.Array:
    """The values over and over."""
    return pa.array([values[row % len(values)] for row in range(rows)], pa.string())


def note(column: pa.Array, start: str) -> str:
    """The only note that begins so."""
    [found] = [each for each in fitted(column)[1] if each.startswith(start)]
    return found


def numbers_and_booleans() -> None:
    for column in (
        pa.array(RANDOM.normal(size=ROWS)),
        pa.array(RANDOM.integers(0, 9, ROWS)),
        pa.array(RANDOM.random(ROWS) < 0.5),
    ):
        assert one(column) == Feature(name="x")


def missing_values() -> None:
    values = np.arange(ROWS, dtype=float)
    for rows in (TRAINED, ~TRAINED):  # missing among those to train on, or only among others
        holes = np.flatnonzero(rows)[:7]
        median = float(np.median(np.delete(values, holes)[np.delete(TRAINED, holes)]))
        marked = values.copy()
        marked[holes] = np.nan
        for column in (pa.array(marked), pa.array(marked, from_pandas=True)):
            assert one(column).transform == NumberTransform(fill=median, indicator=True)
        said = "missing values replaced by a value of the rows to train on, and a number says where: 'x' (7 rows, "
        assert note(pa.array(marked), "missing").startswith(said)


def skewed_numbers() -> None:
    values = np.exp(RANDOM.normal(0, 2, ROWS))
    assert one(pa.array(values)).transform == NumberTransform(scale="log")
    assert note(pa.array(values), "scaled by a logarithm").endswith(": 'x'")
    # A few different values, and such that a logarithm does not help, stay as they are.
    assert one(pa.array(RANDOM.choice([0.0, 1.0, 50.0], ROWS, p=[0.9, 0.08, 0.02]))).transform is None
    assert one(pa.array(np.where(np.arange(ROWS) % 20 == 0, 1.0, 1e-3) + np.arange(ROWS) * 1e-9)).transform is None


def heavy_tails() -> None:
    values = RANDOM.standard_cauchy(ROWS)
    transform = one(pa.array(values)).transform
    assert isinstance(transform, NumberTransform)
    assert transform.scale == "quantile"
    assert len(transform.points) == 200
    assert note(pa.array(values), "scaled by quantiles").endswith(": 'x'")
    # Without other columns or missing values, numbers are trained on as they are.
    table = pa.table({"x": values, "y": np.arange(ROWS) % 2})
    given = {"model": "m", "family": "linear", "data": InlineInput(block="b", offset=0, rows=1), "target": "y"}
    data = read_training_data(TrainSpec.model_validate(given), Tables(table))
    assert data.signature.features == (Feature(name="x"),)


def dates() -> None:
    long, naive = pa.array(DAYS), "%Y-%m-%dT%H:%M:%S"
    assert _parts(long) == ("time", "season", "weekday", "hour")
    assert _parts(pa.array([day.strftime(naive) for day in DAYS])) == ("time", "season", "weekday", "hour")
    zoned = one(pa.array([day.strftime(naive) + "+02:00" for day in DAYS])).transform
    assert isinstance(zoned, DateTransform)
    assert zoned.zoned
    assert not one(long).transform.zoned  # type: ignore[union-attr]
    assert one(long.cast(pa.timestamp("ns", "Asia/Tokyo"))).transform.zoned  # type: ignore[union-attr]
    start = dt.date(2024, 1, 1)
    for span, parts in (
        (5, ("time",)),
        (50, ("time", "weekday")),
        (200, ("time", "season", "weekday")),
    ):
        assert _parts(pa.array([start + dt.timedelta(days=row % span) for row in range(ROWS)])) == parts
    mondays = pa.array([start + dt.timedelta(weeks=row % 50) for row in range(ROWS)])
    assert _parts(mondays) == ("time", "season")
    assert note(long, "dates and times") == "dates and times: 'x' (time, season, weekday, hour)"
    transform = one(long).transform
    assert isinstance(transform, DateTransform)
    assert transform.fill is None
    assert 19723 < transform.origin < 19923
    missing = one(pa.array([None, *DAYS[1:]])).transform
    assert isinstance(missing, DateTransform)
    assert missing.indicator
    assert missing.fill is not None


def _parts(column: pa.Array) -> tuple[str, ...]:
    feature = one(column)
    assert feature.kind == "datetime"
    assert isinstance(feature.transform, DateTransform)
    return feature.transform.parts


def texts_of_numbers() -> None:
    assert one(texts("1", "2.5", " -3e2 ")) == Feature(name="x", transform=NumberTransform())
    assert one(texts("1", "1", "2", None)).transform == NumberTransform(fill=1.0, indicator=True)
    assert one(texts("007", "1", "2")).kind == "category"
    assert one(texts("12345678901234567", "12345678901234568")).kind == "category"
    assert one(texts("123456789012345", "1234567890123456.5")).kind == "number"
    assert one(texts("0.5", "0", "-0.25")).kind == "number"


def texts_most_of_which_are_numbers() -> None:
    many = [str(number) for number in range(14)]
    for column in (texts(*many, "?"), texts("n.a.", *many), texts("1", "2", "?", rows=18)):
        with pytest.raises(InvalidInput, match=r"row \d+: column 'x': .* is not a number, as most values of the colu"):
            fitted(column)
    with pytest.raises(InvalidInput, match=r"row 399: column 'x': 'oops' is not a number.*preprocess=\{'x': 'category"):
        fitted(pa.array([*map(str, range(ROWS - 1)), "oops"]))
    assert one(texts("1", "2", "?"), kind="category").kind == "category"
    # Words that Arrow reads as numbers, or as missing ones, can be categories.
    assert one(texts("true", "true", "unknown")).transform == CategoryTransform(categories=("true", "unknown"))
    assert one(texts("NA", "NA", "EU")).transform == CategoryTransform(categories=("EU", "NA"))
    assert one(texts("1", "a", "b")).kind == "category"
    # Of many rows, fewer numbers can be codes, such as those of tickets.
    assert one(texts("1", "2", "3", "PC 17599")).kind == "category"


def texts_of_words() -> None:
    said = pa.array([" ".join(RANDOM.choice(WORDS, RANDOM.integers(3, 9))) for _ in range(ROWS)])
    transform = one(said).transform
    assert isinstance(transform, TextTransform)
    assert (transform.buckets, transform.width) == (16_384, 32)
    assert transform.length <= 8
    assert note(said, "texts").endswith(f": 'x' ({transform.length} words)")
    characters = np.array(list("我爱北京天安门上太阳升"))
    assert one(pa.array(["".join(RANDOM.choice(characters, 6)) for _ in range(ROWS)])).kind == "text"
    # Few different ones are categories.
    assert one(pa.array([said[row % 30].as_py() for row in range(ROWS)])).kind == "category"
    # So are many, if they come again and again.
    assert one(pa.array([said[row % 60].as_py() for row in range(ROWS)])).kind == "category"


def texts_of_identifiers() -> None:
    for form in ("user-{}-of-site", "{}.user@example.com", "https://example.com/a/b/{}", "550e8400-e29b-{}-a716-4466"):
        assert fitted(pa.array([form.format(row) for row in range(ROWS)]))[0] == []
    names = pa.array([f"user-{row}" for row in range(ROWS)])
    features, notes = fitted(names)
    assert features == []
    assert notes[-1] == (
        "left out, because nearly every row has another value: 'x'; give preprocess={'x': 'category'} or 'text' to use "
        "such a column"
    )
    assert one(names, kind="text").kind == "text"
    assert one(names, kind="category").transform == CategoryTransform(categories=(), encoding="one_hot")
    # Of few rows nobody knows.
    assert one(names.slice(0, 48)).kind == "category"


def other_texts() -> None:
    few = texts(*(f"c{number:02}" for number in range(32)))
    assert one(few).transform == CategoryTransform(categories=tuple(f"c{number:02}" for number in range(32)))
    assert one(few.dictionary_encode()) == one(few)
    assert note(few, "categories, one number for each: 'x'") == (
        "categories, one number for each: 'x' (32), 'other' (2)"
    )
    many = one(texts(*(f"c{number:02}" for number in range(33)))).transform
    assert isinstance(many, CategoryTransform)
    assert (many.encoding, many.width) == ("embedding", 12)
    assert len(many.categories) == 33
    missing = one(texts("a", "b", None)).transform
    assert missing == CategoryTransform(categories=("a", "b"), missing=True)
    assert one(texts("a", "b", "")).transform == missing


#: By the first two cells of the table, what tests the row.
RULES: dict[tuple[str, str], Callable[[], None]] = {
    ("numbers and booleans", ""): numbers_and_booleans,
    ("with missing values (null, NaN) anywhere in the data", ""): missing_values,
    (
        "heavily skewed numbers, none negative, in a table with other columns or missing values",
        "skewness over 2, which the logarithm halves at least",
    ): skewed_numbers,
    ("other numbers with heavy tails, likewise", "kurtosis over 30"): heavy_tails,
    ("dates and timestamps, and texts that are all dates in the format ISO 8601", ""): dates,
    ("texts that are all numbers, without codes such as `007` or of 16 digits and more", ""): texts_of_numbers,
    (
        "texts, most of which are numbers",
        "9 of 10, or half of fewer than 20 rows, words such as `NA` and `true` aside",
    ): texts_most_of_which_are_numbers,
    (
        "texts of several words",
        "3 or more between spaces on average, more than 32 different ones, and more than 0.3 different ones per row",
    ): texts_of_words,
    (
        "texts of which nearly every row has another",
        "0.9 different ones per row, in 50 rows or more",
    ): texts_of_identifiers,
    ("all other texts, also in dictionaries", ""): other_texts,
}


def documented() -> list[tuple[str, str]]:
    """The columns and rules of the table, in order."""
    table = DOCUMENT.read_text().partition("## What is chosen")[2]
    rows = [re.split(r"\s*\|\s*", line.strip("| ")) for line in table.splitlines() if line.startswith("|")]
    return [(cells[0], cells[1] if len(cells) > 2 else "") for cells in rows[2:]]


def test_every_row_of_the_table_is_tested() -> None:
    assert documented() == list(RULES)


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule[0])
def test_a_rule(rule: tuple[str, str]) -> None:
    RULES[rule]()
