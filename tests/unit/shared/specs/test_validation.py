"""From what a caller wrote to a value, or to one line that says what is wrong with which field."""

from __future__ import annotations

import pytest

from longshore.shared.errors import InvalidInput
from longshore.shared.specs.families import CnnConfig
from longshore.shared.specs.jobs import FileInput, JobOptions
from longshore.shared.specs.train import TrainSpec
from longshore.shared.specs.validation import MAX_SHOWN_LENGTH, build, shorten, unknown_option

TRAIN = {"model": "digits", "family": "mlp", "data": {"uri": "a.csv", "format": "csv"}, "target": "label"}


def refused(kind: type[JobOptions | TrainSpec | CnnConfig], values: dict[str, object], prefix: str = "") -> str:
    with pytest.raises(InvalidInput) as caught:
        build(kind, values, prefix)
    assert str(caught.value).startswith(f"{caught.value.field}: ")
    assert "\n" not in str(caught.value)
    return str(caught.value)


def test_what_is_right_is_built() -> None:
    assert build(JobOptions, {"priority": 9}) == JobOptions(priority=9)
    assert build(TrainSpec, TRAIN).data == FileInput(uri="a.csv", format="csv")


def test_a_wrong_value_is_repeated_with_what_is_asked_of_it() -> None:
    assert refused(JobOptions, {"priority": 10}) == "priority: 10: Input should be less than or equal to 9"
    assert refused(JobOptions, {"device": "tpu"}).startswith("device: 'tpu': Input should be 'auto'")
    assert refused(TrainSpec, {**TRAIN, "epochs": "many"}).startswith("epochs: 'many': ")


def test_an_unknown_option_is_answered_with_the_nearest() -> None:
    assert refused(JobOptions, {"prioritty": 1}) == "prioritty: unknown option; did you mean priority?"
    far = refused(JobOptions, {"zzz": 1})
    assert far.startswith("zzz: unknown option; the options are priority, device, ")
    near = refused(CnnConfig, {"input_shape": [1, 8, 8], "kernel": 3}, "config.")
    assert near == "config.kernel: unknown option; did you mean config.kernel_size?"
    assert str(unknown_option("config.x", "config.", ["bias"])) == "config.x: unknown option; the options are bias"


def test_a_missing_value_is_named() -> None:
    assert refused(TrainSpec, {"model": "digits"}) == "family: required, but missing"
    assert refused(CnnConfig, {}, "config.") == "config.input_shape: required, but missing"


def test_a_wrong_value_inside_another_says_where() -> None:
    inner = refused(CnnConfig, {"input_shape": [1, 0, 8]}, "config.")
    assert inner == "config.input_shape: 0 (at input_shape.1): Input should be greater than or equal to 1"


def test_an_unknown_key_inside_another_is_named() -> None:
    data = {"uri": "a.csv", "format": "csv", "sep": ";"}
    assert "unknown key" in refused(TrainSpec, {**TRAIN, "data": data})
    assert "sep" in refused(TrainSpec, {**TRAIN, "data": data})


def test_a_long_value_is_cut_to_one_line() -> None:
    assert shorten("x" * 78) == repr("x" * 78)
    assert len(shorten("x" * 79)) == MAX_SHOWN_LENGTH
    assert shorten("x" * 79).endswith("…")
    assert len(refused(JobOptions, {"device": "line\n" * 1000})) < 200


@pytest.mark.parametrize(
    ("values", "field"),
    [
        ({"target": "a\0"}, "target"),
        ({"model": "\ud800"}, "model"),
        ({"config": {"x": [1, {"y\udfff": None}]}}, "config"),
        ({"data": FileInput(uri="/a\udcff.csv", format="csv")}, "data"),
        ({"a\0": 1}, r"'a\x00'"),
    ],
)
def test_a_text_that_no_service_can_store_is_refused(values: dict[str, object], field: str) -> None:
    message = refused(TrainSpec, {**TRAIN, **values})
    assert message.startswith(f"{field}: '")
    assert message.endswith(" has a NUL character or half of a surrogate pair; remove it")
    assert message.isprintable()


def test_a_pair_of_surrogates_is_one_character() -> None:
    assert build(TrainSpec, {**TRAIN, "target": "\U0001f600"}).target == "\U0001f600"
