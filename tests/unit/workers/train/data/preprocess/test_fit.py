"""Fitting columns batch by batch, with what a caller says of them."""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping, Sequence

import numpy as np
import pyarrow as pa
import pytest

from longshore.shared.errors import InvalidInput
from longshore.shared.specs.preprocess import ColumnPreprocess
from longshore.shared.specs.signature import Feature
from longshore.shared.specs.transforms import CategoryTransform, DateTransform, NumberTransform, TextTransform
from longshore.workers.train.data.preprocess.fit import FittedColumns, TableFitter, needs_fit
from longshore.workers.train.data.sample import MAX_NUMBERS, number_sample


def fit(
    column: str,
    *batches: pa.Array | list[object],
    trained: Sequence[Sequence[bool]] | None = None,
    how: Mapping[str, object] | None = None,
) -> FittedColumns:
    """Fit a column ``x`` that comes in batches.

    :param column: ``number``, ``category`` or ``datetime``, as it is known before its rows are read.
    :param trained: which rows of each batch are trained on; by default all.
    """
    feature = Feature.model_validate({"name": "x", "kind": column})
    fitter = TableFitter([feature], {"x": ColumnPreprocess.model_validate(how or {})})
    for number, values in enumerate(batches):
        array = values if isinstance(values, pa.Array) else pa.array(values)
        mask = np.ones(len(array), bool) if trained is None else np.array(trained[number], bool)
        fitter.add(pa.RecordBatch.from_arrays([array], ["x"]), mask)
    return fitter.fitted()


def one(column: str, /, *batches: pa.Array | list[object], **how: object) -> Feature:
    [feature] = fit(column, *batches, how=how).features
    return feature


@pytest.mark.parametrize(
    ("how", "expected"),
    [
        ({}, NumberTransform(fill=2.0, indicator=True)),
        ({"missing": "mean"}, NumberTransform(fill=4.0, indicator=True)),
        ({"missing": 0}, NumberTransform(fill=0.0, indicator=True)),
        ({"missing": "median", "indicator": False}, NumberTransform(fill=2.0)),
        ({"missing": "error"}, None),
        ({"scale": "log"}, NumberTransform(fill=2.0, indicator=True, scale="log")),
    ],
)
def test_options_of_numbers(how: dict[str, object], expected: NumberTransform | None) -> None:
    assert one("number", [1.0, None], [9.0, 2.0], **how).transform == expected


def test_numbers_without_missing_ones_are_replaced_if_it_is_asked_for() -> None:
    assert one("number", [1.0, 3.0]).transform is None
    assert one("number", [1.0, 3.0], missing="median").transform == NumberTransform(fill=2.0, indicator=True)
    assert one("number", [1.0, 3.0], missing=7).transform == NumberTransform(fill=7.0, indicator=True)


def test_rows_that_are_held_out_say_only_that_values_are_missing() -> None:
    trained = [[True, True, False], [False, True, False]]
    fitted = fit("number", [1.0, 3.0, 100.0], [None, 5.0, 100.0], trained=trained)
    assert fitted.features[0].transform == NumberTransform(fill=3.0, indicator=True)
    assert "'x' (1 rows, 3)" in fitted.notes[0]
    [feature] = fit("category", ["a", "b", "z"], ["z", "a", "z"], trained=trained).features
    assert feature.transform == CategoryTransform(categories=("a", "b"))
    [feature] = fit("category", ["a", "b", None], [None, "a", None], trained=trained).features
    assert feature.transform == CategoryTransform(categories=("a", "b"))


def test_infinities_and_bad_texts_do_not_spoil_what_is_fitted() -> None:
    assert one("number", [1.0, float("inf"), None, 3.0]).transform == NumberTransform(fill=2.0, indicator=True)
    assert one("number", ["1", "soon", None, "3"], kind="number").transform == NumberTransform(fill=2.0, indicator=True)


@pytest.mark.parametrize(
    ("how", "expected"),
    [
        ({}, CategoryTransform(categories=("a", "b", "c"))),
        ({"min_count": 2}, CategoryTransform(categories=("a", "b"))),
        ({"max_categories": 1}, CategoryTransform(categories=("a",))),
        ({"max_categories": 2}, CategoryTransform(categories=("a", "b"))),
        ({"encoding": "embedding"}, CategoryTransform(categories=("a", "b", "c"), encoding="embedding", width=3)),
        (
            {"width": 7, "kind": "category"},
            CategoryTransform(categories=("a", "b", "c"), encoding="embedding", width=7),
        ),
    ],
)
def test_options_of_categories(how: dict[str, object], expected: CategoryTransform) -> None:
    batches: list[list[object]] = [["a", "b", "c", "a"], ["b", "a"]]
    assert one("category", *batches, **how).transform == expected
    # The order of the rows does not matter.
    assert one("category", *[batch[::-1] for batch in batches[::-1]], **how).transform == expected


def test_rare_categories_are_unknown_in_a_hundred_rows() -> None:
    common: list[object] = ["a", "b"] * 49
    assert one("category", [*common, "z"]).transform == CategoryTransform(categories=("a", "b", "z"))
    fitted = fit("category", [*common, "y", "z"])
    assert fitted.features[0].transform == CategoryTransform(categories=("a", "b"))
    assert fitted.notes == ("categories, one number for each: 'x' (2, 2 rows of rare ones as unknown)",)


@pytest.mark.parametrize("values", [[3, 5, 3], [3.0, 5.0, 3.0], ["3", "5", "3"]])
def test_whole_numbers_are_categories_if_it_is_said(values: list[object]) -> None:
    assert one("category", values, kind="category").transform == CategoryTransform(categories=("3", "5"))


def test_categories_that_are_not_utf8_are_told_apart_as_they_will_be() -> None:
    texts = pa.array([b"caf\xe9", b"cafe", b"caf\xe9"], pa.binary())
    broken = pa.Array.from_buffers(pa.string(), 3, texts.buffers())
    transform = one("category", broken).transform
    assert transform == CategoryTransform(categories=("cafe", "caf\N{REPLACEMENT CHARACTER}"))


def test_options_of_dates() -> None:
    days = [dt.date(2024, 1, 1) + dt.timedelta(days=day) for day in range(400)]
    transform = one("datetime", days[:200], [None, *days[200:]], parts=["weekday", "time"], missing="mean").transform
    assert isinstance(transform, DateTransform)
    assert transform.parts == ("time", "weekday")
    assert transform.fill == pytest.approx(19723 + 199.5)
    assert transform.indicator
    assert one("datetime", days, parts=["season"]).transform == DateTransform(parts=("season",))
    bare = one("datetime", [None, *days], indicator=False, parts=["season"]).transform
    assert isinstance(bare, DateTransform)
    assert not bare.indicator


NAIVE, ZONED = ["2024-01-01", "2024-01-02T10:00"], ["2024-01-01T00:00Z", "2024-01-02T10:00+02:00"]


def test_batches_of_texts_decide_together_whether_they_are_dates() -> None:
    empty: list[object] = [None, "", "NaT"]
    for texts, zoned in ((NAIVE, False), (ZONED, True)):
        for batches in ([texts], [texts, empty], [pa.array(empty, pa.string()), texts, empty, texts]):
            transform = one("category", *batches).transform
            assert isinstance(transform, DateTransform), batches
            assert transform.zoned == zoned
    assert one("category", NAIVE, ZONED).kind == "category"
    assert one("category", NAIVE, ["soon"]).kind == "category"
    assert one("category", ZONED, NAIVE).kind == "category"


def test_a_bad_text_does_not_decide_on_the_time_zone() -> None:
    feature = one("datetime", ["soon", *ZONED], ZONED, kind="datetime")
    assert isinstance(feature.transform, DateTransform)
    assert feature.transform.zoned


def test_options_of_texts() -> None:
    feature = one("category", ["one two three", "four"], ["five six"], kind="text", length=9, buckets=64, width=5)
    assert feature == Feature(name="x", kind="text", transform=TextTransform(length=9, buckets=64, width=5))
    usual = one("category", ["one two three", "four"], kind="text").transform
    assert usual == TextTransform(length=2, buckets=16_384, width=32)


@pytest.mark.parametrize(
    ("kind", "values", "how", "reason"),
    [
        ("category", pa.array([None, None], pa.string()), {}, "column 'x' has no value in the rows to train on"),
        ("category", ["", None], {}, "column 'x' has no value in the rows to train on"),
        ("datetime", pa.array([None], pa.date32()), {}, "column 'x' has no date in the rows to train on"),
        ("datetime", ["soon"], {"kind": "datetime"}, "column 'x' has no date in the rows to train on"),
        ("number", pa.array([None, None], pa.float64()), {}, "column 'x' has no finite number in the rows to train on"),
        ("number", [float("nan")], {"missing": "mean"}, "column 'x' has no finite number in the rows to train on"),
        ("number", ["soon"], {"kind": "number"}, "column 'x' has no finite number in the rows to train on"),
        (
            "category",
            ["a", "b"],
            {"indicator": True},
            "indicator is only for the kind number or datetime, and this colu",
        ),
        ("category", NAIVE, {"missing": 0}, "column 'x' has dates; missing: a date cannot be replaced by a number"),
    ],
)
def test_columns_that_cannot_be_used_are_named(
    kind: str, values: pa.Array | list[object], how: dict[str, object], reason: str
) -> None:
    with pytest.raises(InvalidInput, match=reason):
        fit(kind, values, how=how)


def test_a_constant_in_place_of_missing_numbers_needs_no_number() -> None:
    assert one("number", pa.array([None, None], pa.float64()), missing=5).transform == NumberTransform(
        fill=5.0, indicator=True
    )


def test_what_needs_a_fit() -> None:
    number, other = Feature(name="x"), Feature(name="x", kind="category")
    for values, needed in (([1.0, 2.0], False), ([1.0, None], True), ([1.0, float("nan")], True), ([True], False)):
        table = pa.table({"x": values})
        assert needs_fit([number], None, table) == needed
        assert needs_fit([number], {"x": ColumnPreprocess(kind="number")}, table)
        assert needs_fit([other], None, table)
    lists = pa.table({"x": [[1.0], None]})
    assert not needs_fit([Feature(name="x", width=1)], None, lists)


def test_a_sample_keeps_evenly_spaced_numbers() -> None:
    few = number_sample()
    for start in range(0, 1000, 7):
        few.add(np.arange(start, min(start + 7, 1000), dtype=float))
    assert few.values.tolist() == list(range(1000))
    many, count = number_sample(), 2 * MAX_NUMBERS + 12_345
    for start in range(0, count, 99_991):
        many.add(np.arange(start, min(start + 99_991, count), dtype=float))
    kept = many.values
    assert MAX_NUMBERS / 2 <= len(kept) <= MAX_NUMBERS
    assert set(np.diff(kept)) == {4.0}
    assert kept[0] == 0
    assert kept[-1] > count - 5
