"""Which class is the positive one, and what cannot have one."""

from __future__ import annotations

import pytest
from pydantic import ValidationError

from longshore.shared.errors import InvalidInput
from longshore.shared.specs.jobs import EvaluateSpec, FileInput, InferSpec
from longshore.shared.specs.positive import PositiveClass, read_positive
from longshore.shared.specs.signature import Feature, OutputKind, Signature

FILE = FileInput(uri="/x.csv", format="csv")


def classifier(*labels: str | int | bool, kind: OutputKind | None = None) -> Signature:
    features = (Feature(name="x"),)
    return Signature(features=features, task="classification", target="y", labels=labels, output_kind=kind)


@pytest.mark.parametrize(
    ("labels", "positive", "index"),
    [
        ((False, True), True, 1),
        ((False, True), False, 0),
        ((False, True), "True", 1),
        ((False, True), "true", 1),
        ((0, 1), 1, 1),
        ((0, 1), "0", 0),
        (("0", "1"), "1", 1),
        (("0", "1"), 1, 1),
        (("True", "False"), True, 0),
        (("no", "yes"), "yes", 1),
        ((1, "1"), "1", 1),
        ((1, "1"), 1, 0),
    ],
)
def test_a_class_is_named_by_its_value_or_its_text(
    labels: tuple[str | int | bool, ...], positive: bool | int | str, index: int
) -> None:
    assert read_positive(classifier(*labels), positive, 0.7) == PositiveClass(index, 0.7)


@pytest.mark.parametrize("positive", ["maybe", 1, 0, "1", "TRUE "])
def test_a_class_that_does_not_exist_names_those_that_do(positive: int | str) -> None:
    with pytest.raises(InvalidInput, match=f"^positive: {positive!r} is no class of the version; give False or True$"):
        read_positive(classifier(False, True), positive, 0.5)
    with pytest.raises(InvalidInput, match=r"give 'no' or 'yes'$"):
        read_positive(classifier("no", "yes"), positive, 0.5)


def test_what_has_no_two_classes_has_no_positive_one() -> None:
    with pytest.raises(InvalidInput, match=r"^positive: 'a': only for .* two classes; this version has 3 classes$"):
        read_positive(classifier("a", "b", "c"), "a", 0.5)
    features = (Feature(name="x"),)
    for task in ("regression", "embedding", "multilabel"):
        labels = ("a", "b") if task == "multilabel" else None
        version = Signature(features=features, task=task, target="y", labels=labels)
        with pytest.raises(InvalidInput, match=f"^positive: 'a': .*; this version is for {task}$"):
            InferSpec(data=FILE, positive="a").check(version, "family")
    with pytest.raises(InvalidInput, match=r"^positive: 'a': the version gives scores that are no probabilities"):
        read_positive(classifier("a", "b", kind="scores"), "a", 0.5)


def test_a_threshold_is_between_0_and_1_and_of_a_class() -> None:
    for wrong in (0.0, 1.0):
        with pytest.raises(InvalidInput, match=rf"^threshold: {wrong}: with positive=, give a number above 0"):
            InferSpec(data=FILE, positive="a", threshold=wrong).check(classifier("a", "b"), "family")
        with pytest.raises(ValidationError, match="threshold"):
            EvaluateSpec(data=FILE, target="y", positive="a", threshold=wrong)
    with pytest.raises(InvalidInput, match=r"^threshold: 0.7: say of which class: positive=False or True$"):
        read_positive(classifier(False, True), None, 0.7)
    with pytest.raises(InvalidInput, match=r"^threshold: 0.7: only for .*; the task is classification of 3 classes$"):
        read_positive(classifier("a", "b", "c"), None, 0.7)
    multilabel = Signature(features=(Feature(name="x"),), task="multilabel", target="y", labels=("a", "b"))
    with pytest.raises(InvalidInput, match=r"^threshold: 0.7: an evaluation of multilabel measures at 0.5; leave it"):
        read_positive(multilabel, None, 0.7)
    assert read_positive(classifier("a", "b"), None, 0.5) is None


def test_a_class_is_text_a_whole_number_or_a_boolean() -> None:
    for wrong in (1.0, ["a"], b"a"):
        with pytest.raises(ValidationError, match="positive"):
            InferSpec.model_validate({"data": FILE, "positive": wrong})
    for right in (True, 1, "a"):
        spec = InferSpec.model_validate_json(InferSpec(data=FILE, positive=right).model_dump_json())
        assert (type(spec.positive), spec.positive) == (type(right), right)


def test_jobs_without_it_are_written_as_before() -> None:
    """Workers of the release before read them; with it, they refuse a field that they do not know."""
    assert "positive" not in InferSpec(data=FILE, top_k=1).model_dump_json(exclude_defaults=True)
    assert "positive" in InferSpec(data=FILE, positive=False).model_dump_json(exclude_defaults=True)
