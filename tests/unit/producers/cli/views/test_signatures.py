"""What ``longshore models show`` says of inputs and outputs."""

from __future__ import annotations

import pytest

from longshore.producers.cli.views.signatures import describe_feature, describe_output
from longshore.shared.specs.signature import Feature, Signature

FEATURES = (Feature(name="x"),)
CLASSIFIER = Signature(features=FEATURES, task="classification", target="y", labels=("a", "b"))


@pytest.mark.parametrize(
    ("feature", "text"),
    [
        (Feature(name="x"), "x"),
        (Feature(name="x", width=3), "x (3)"),
        (Feature(name="ids", width=8, dtype="int64", input="input_ids"), "ids (8) int64 for input_ids"),
        (Feature(name="mask", dtype="bool", input="mask"), "mask bool"),
    ],
)
def test_a_feature(feature: Feature, text: str) -> None:
    assert describe_feature(feature) == text


@pytest.mark.parametrize(
    ("changes", "runtime", "text"),
    [
        ({}, "family", "logits"),
        ({}, "onnx", "not known; logits, unless trial rows show probabilities or scores"),
        (
            {"output_kind": "probabilities", "output": "p", "label_output": "label"},
            "onnx",
            "probabilities, from 'p'; label from 'label'",
        ),
        ({"task": "regression", "labels": None}, "pt2", "values"),
        ({"task": "embedding", "labels": None}, "family", "embedding"),
    ],
)
def test_an_output(changes: dict[str, object], runtime: str, text: str) -> None:
    assert describe_output(CLASSIFIER.model_copy(update=changes), runtime) == text
