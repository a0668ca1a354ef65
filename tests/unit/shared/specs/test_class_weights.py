"""How much each class counts, as a caller writes it."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.utils.class_weight import compute_class_weight

from longshore.shared.errors import InvalidInput
from longshore.shared.specs.class_weights import balanced, by_class, read_weights


def test_balanced_is_scikit_learn_s() -> None:
    labels = np.repeat([0, 1, 2], [90, 7, 3])
    expected = compute_class_weight("balanced", classes=np.arange(3), y=labels)
    assert balanced([90, 7, 3]) == pytest.approx(expected.tolist())


@pytest.mark.parametrize(
    ("given", "labels", "weights"),
    [
        ({"spam": 5}, ("ham", "spam"), [1.0, 5.0]),
        ({1: 2.5, np.int64(7): np.float32(0.5)}, (1, 3, 7), [2.5, 1.0, 0.5]),
        ({"1": 2.5}, (1, 3), [2.5, 1.0]),
        ({True: 3}, (False, True), [1.0, 3.0]),
        ({"true": 3, "False": 2}, (False, True), [2.0, 3.0]),
        ({"true": 3}, ("False", "true"), [1.0, 3.0]),
    ],
)
def test_labels_may_be_of_any_type(
    given: dict[object, object], labels: tuple[object, ...], weights: list[float]
) -> None:
    read = read_weights(given)
    assert isinstance(read, dict)
    assert by_class(read, labels) == weights


@pytest.mark.parametrize(
    ("given", "reason"),
    [
        ("even", "'even': give 'balanced', or a weight by label"),
        ({}, "{}: give 'balanced'"),
        ([1.0, 2.0], "give 'balanced'"),
        ({"spam": 0}, "0 of 'spam': a weight is a finite number above 0"),
        ({"spam": -1.5}, "-1.5 of 'spam'"),
        ({"spam": float("nan")}, "nan of 'spam'"),
        ({"spam": float("inf")}, "inf of 'spam'"),
        ({"spam": "5"}, "'5' of 'spam'"),
        ({"spam": True}, "True of 'spam'"),
    ],
)
def test_what_is_no_weight_is_refused(given: object, reason: str) -> None:
    with pytest.raises(InvalidInput) as refused:
        read_weights(given)
    assert refused.value.field == "class_weights"
    assert reason in refused.value.reason


def test_a_weight_of_no_label_is_refused_with_those_there_are() -> None:
    with pytest.raises(InvalidInput, match=r"^class_weights: 'spamm' is no label of the target; there are ham, spam$"):
        by_class({"ham": 1.0, "spamm": 2.0}, ("ham", "spam"))
    with pytest.raises(InvalidInput, match=r"there are 0, 1, 2, 3, 4, 5, 6, 7, 8, 9 and 2 more$"):
        by_class({"12": 1.0}, range(12))
