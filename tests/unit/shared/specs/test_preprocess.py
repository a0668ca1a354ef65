from __future__ import annotations

import re

import pytest

from longshore.shared.errors import InvalidInput
from longshore.shared.specs.preprocess import ColumnPreprocess
from longshore.shared.specs.train import TrainSpec
from longshore.shared.specs.validation import build

#: A good value of each option, and the kinds that it is for.
OPTIONS: dict[str, tuple[object, set[str]]] = {
    "missing": ("median", {"number", "datetime"}),
    "indicator": (True, {"number", "datetime"}),
    "scale": ("log", {"number"}),
    "encoding": ("embedding", {"category"}),
    "max_categories": (7, {"category"}),
    "min_count": (3, {"category"}),
    "width": (8, {"category", "text"}),
    "parts": (["time"], {"datetime"}),
    "length": (9, {"text"}),
    "buckets": (64, {"text"}),
}
KINDS = ("number", "category", "datetime", "text", "drop")


def spec(how: object) -> TrainSpec:
    values = {"model": "m", "family": "mlp", "target": "y", "data": {"uri": "/", "format": "csv"}}
    return build(TrainSpec, {**values, "preprocess": {"a": how}})


def read(how: object) -> ColumnPreprocess:
    """What an option of a training becomes."""
    preprocess = spec(how).preprocess
    assert preprocess is not None
    return preprocess["a"]


def test_every_option_is_listed_here() -> None:
    assert {"kind", *OPTIONS} == set(ColumnPreprocess.model_fields)


@pytest.mark.parametrize("option", OPTIONS)
def test_an_option_fits_its_kinds_alone(option: str) -> None:
    value, kinds = OPTIONS[option]
    for kind in KINDS:
        if kind in kinds:
            assert read({"kind": kind, option: value}).implied_kind == kind
            continue
        with pytest.raises(InvalidInput, match=rf"^preprocess: .*: {option} is only for the kind \w+( or \w+)?; leave"):
            read({"kind": kind, option: value})
    implied = read({option: value}).implied_kind
    assert implied == (min(kinds) if len(kinds) == 1 else None)


@pytest.mark.parametrize(("one", "other"), [(a, b) for a in OPTIONS for b in OPTIONS if a < b])
def test_two_options_go_together_if_they_have_a_kind_in_common(one: str, other: str) -> None:
    options = {name: OPTIONS[name][0] for name in (one, other)}
    common = OPTIONS[one][1] & OPTIONS[other][1]
    if common:
        assert read(options).implied_kind == (min(common) if len(common) == 1 else None)
    else:
        with pytest.raises(InvalidInput, match=r"is only for the kind \w+( or \w+)?; leave it out, or change the kind"):
            read(options)


@pytest.mark.parametrize(
    ("how", "reason"),
    [
        ("colour", "'colour' (at preprocess.a.kind): Input should be 'number', 'category', 'datetime', 'text' or 'd"),
        ({"kind": "colour"}, "Input should be 'number'"),
        ({"colour": 1}, "unknown key a.colour"),
        (5, "5 (at preprocess.a): Input should be a valid dictionary"),
        (None, "None (at preprocess.a)"),
        ({"missing": "mode"}, "'mode' (at preprocess.a.missing"),
        ({"missing": float("nan")}, "nan (at preprocess.a.missing"),
        ({"missing": float("inf")}, "inf (at preprocess.a.missing"),
        ({"kind": "datetime", "missing": 0}, "missing: a date cannot be replaced by a number; use median, mean or er"),
        ({"parts": ["time"], "missing": 0}, "missing: a date cannot be replaced by a number"),
        ({"encoding": "one_hot", "width": 3}, "width is only for learned vectors; leave it out, or use encoding=emb"),
        ({"parts": []}, "parts: list each part that is used once, at least one"),
        ({"parts": ["time", "time"]}, "parts: list each part that is used once"),
        ({"parts": ["minute"]}, "'minute' (at preprocess.a.parts.0)"),
        ({"missing": "error", "indicator": True}, "indicator: a missing value is an error; leave it out, or replace"),
        ({"scale": "root"}, "Input should be 'none', 'log' or 'quantile'"),
        ({"encoding": "hash"}, "Input should be 'one_hot' or 'embedding'"),
        ({"max_categories": 0}, "0 (at preprocess.a.max_categories): Input should be greater than or equal to 1"),
        ({"max_categories": 100_001}, "less than or equal to 100000"),
        ({"min_count": 0}, "greater than or equal to 1"),
        ({"width": 0}, "greater than or equal to 1"),
        ({"length": 4097}, "less than or equal to 4096"),
        ({"buckets": 8}, "greater than or equal to 16"),
        ({"buckets": 2**22 + 1}, "less than or equal to 4194304"),
    ],
)
def test_wrong_values_are_refused_with_the_remedy(how: object, reason: str) -> None:
    with pytest.raises(InvalidInput, match=re.escape(reason)) as caught:
        read(how)
    assert caught.value.field == "preprocess"
    assert "Value error" not in str(caught.value)


@pytest.mark.parametrize("kind", KINDS)
def test_a_string_is_short_for_the_kind(kind: str) -> None:
    assert read(kind) == read({"kind": kind})


def test_the_options_survive_json() -> None:
    wanted = spec({"missing": 0, "indicator": False, "scale": "quantile"})
    assert TrainSpec.model_validate_json(wanted.model_dump_json()) == wanted


@pytest.mark.parametrize(
    ("how", "kind", "reason"),
    [
        ({"missing": 0}, "category", "column 'a': missing is only for the kind number or datetime, and this column is"),
        ({"width": 3}, "number", "column 'a': width is only for the kind category or text, and this column is taken "),
        ({"width": 3}, "datetime", "taken for the kind datetime; leave it out, or give the kind, too"),
        ({"missing": 0}, "datetime", "column 'a' has dates; missing: a date cannot be replaced by a number; use med"),
    ],
)
def test_options_of_another_kind_than_the_values_have(how: object, kind: str, reason: str) -> None:
    with pytest.raises(InvalidInput, match=re.escape(reason)):
        read(how).check_kind("a", kind)  # type: ignore[arg-type]
    read({}).check_kind("a", kind)  # type: ignore[arg-type]


def test_options_of_two_kinds_fit_both() -> None:
    read({"missing": "mean"}).check_kind("a", "datetime")
    read({"missing": "mean"}).check_kind("a", "number")
    read({"width": 3}).check_kind("a", "text")
    read({"missing": 0}).check_kind("a", "number")
