"""Conditions on metrics: what they mean, and where they are wrong."""

from __future__ import annotations

from typing import get_args

import pytest
from hypothesis import given
from hypothesis import strategies as st

from longshore.producers.planning.conditions import check_condition, check_gate
from longshore.shared.conditions.decision import Decision, VersionMetrics, decide
from longshore.shared.conditions.language import SIGNS, parse
from longshore.shared.errors import InvalidInput
from longshore.shared.specs.evaluate import METRICS
from longshore.shared.specs.jobs import FileInput
from longshore.shared.specs.train import TrainSpec
from longshore.shared.specs.train.metrics import MEASURABLE
from longshore.shared.vocabulary import PreferenceMetric
from longshore.workers.train.objective.class_sums import CLASS_METRICS
from longshore.workers.train.objective.label_sums import LABEL_METRICS
from longshore.workers.train.objective.number_sums import NUMBER_METRICS

NEW = {"val_accuracy": 0.95, "val_loss": 0.2, "train_loss": 0.1, "accuracy": 0.9}
OLD = {"val_accuracy": 0.96, "val_loss": 0.3}


def decided(text: str) -> Decision:
    def lookup(alias: str) -> VersionMetrics | None:
        return VersionMetrics("digits:3", OLD) if alias in ("production", "best.one-2") else None

    return decide(parse(text, "promote_if"), VersionMetrics("digits:4", NEW), lookup)


@pytest.mark.parametrize(
    ("text", "holds"),
    [
        ("val_accuracy >= 0.95", True),
        ("val_accuracy > .95", False),
        ("0.95 <= val_accuracy", True),
        ("val_accuracy>=9.5e-1 and val_loss<1", True),
        ("val_accuracy >= 0.97 or val_loss < 1", True),
        ("val_accuracy >= 0.97 or val_loss < 1 and val_loss > 1", False),
        ("(val_accuracy >= 0.97 or val_loss < 1) and val_loss != 1", True),
        ("not val_loss > 1", True),
        ("not (val_loss < 1 and not val_loss == 0)", False),
        ("val_accuracy >= production", False),
        ("production < val_accuracy", False),
        ("val_loss < production.val_loss", True),
        ("val_loss < best.one-2.val_loss and val_loss < best.one-2", True),
        ("val_loss > train_loss", True),
        ("accuracy > -1", True),
        # Nothing is asked of an alias that points at no version.
        ("val_accuracy >= staging", True),
        ("val_accuracy >= staging and val_accuracy > 0.99", False),
        ("val_accuracy >= staging or val_accuracy > 0.99", True),
        ("not val_accuracy >= staging", True),
        # What was not measured cannot be better.
        ("test_loss < 1", False),
        ("not test_loss < 1", False),
        ("accuracy >= production", False),
        ("test_loss < 1 or val_loss < 1", False),
    ],
)
def test_what_conditions_mean(text: str, holds: bool) -> None:
    assert decided(text).holds is holds


def test_the_reason_has_the_numbers_of_the_parts_that_are_false() -> None:
    found = decided("val_loss < 1 and val_accuracy >= 0.97 and val_accuracy >= production")
    assert found.reason == (
        "val_accuracy 0.95 >= 0.97 is false; val_accuracy 0.95 >= production.val_accuracy 0.96 (digits:3) is false"
    )
    assert (
        decided("accuracy >= production").reason == "production.accuracy (digits:3) was not measured on the same data"
    )
    assert [part.holds for part in decided("val_loss < 1 or val_loss < staging").comparisons] == [True, None]


@pytest.mark.parametrize(
    ("text", "place", "reason"),
    [
        ("", 1, "expected a metric"),
        ("val_accuracy", 13, "expected one of"),
        ("val_accuracy >=", 16, "expected a metric"),
        ("val_accuracy = 0.9", 14, "not allowed in a condition"),
        ("val_accuracy >= 0.9 production", 21, "expected and, or"),
        ("val_accuracy >= 0.9 and", 24, "expected a metric"),
        ("(val_accuracy >= 0.9", 21, "expected )"),
        ("val_accuracy >= 0.9)", 20, "expected and, or"),
        ("1 < 2", 1, "compares no metric"),
        ("production >= staging", 1, "not a metric"),
        ("val_accuracy >= Production", 17, "cannot be an alias"),
        ("__import__('os').system('x')", 12, "not allowed in a condition"),
        ("val_loss < 1; drop", 13, "not allowed in a condition"),
        ("val_loss < 1e", 12, "not allowed in a condition"),
        ("(" * 60 + "val_loss < 1" + ")" * 60, 51, "nested more than"),
    ],
)
def test_errors_point_at_the_place(text: str, place: int, reason: str) -> None:
    with pytest.raises(InvalidInput) as refused:
        parse(text, "promote_if")
    assert refused.value.field == "promote_if"
    assert f"at character {place} " in refused.value.reason
    assert reason in refused.value.reason


def test_a_condition_has_an_end() -> None:
    with pytest.raises(InvalidInput, match="at most 1000"):
        parse("val_loss < 1 and " * 100 + "val_loss < 1", "promote_if")


@given(text=st.text(alphabet="val_os() <>=!andotr.0195-_é\n", max_size=60))
def test_any_text_is_a_condition_or_refused(text: str) -> None:
    try:
        node = parse(text, "promote_if")
    except InvalidInput:
        return
    assert isinstance(decide(node, VersionMetrics("digits:4", NEW), lambda _: None).holds, bool)


@given(left=st.floats(-9, 9), right=st.floats(-9, 9), sign=st.sampled_from(sorted(SIGNS)))
def test_signs_are_those_of_python(left: float, right: float, sign: str) -> None:
    node = parse(f"val_loss {sign} {right!r}", "promote_if")
    found = decide(node, VersionMetrics("digits:4", {"val_loss": left}), lambda _: None)
    # Both come from this test alone.
    assert found.holds is eval(f"{left!r} {sign} {right!r}")


@pytest.mark.parametrize(
    ("condition", "reason"),
    [
        ("accuracy > 0.9 and val_loss < production and test_r2 > 0", None),
        ("recall >= production and old.f1 < 1", None),
        ("balanced_accuracy > 0.9", "'balanced_accuracy' is no metric of an evaluation; there are accuracy, "),
        ("rmse < 2", "'rmse' is no metric of an evaluation; a training gives val_rmse"),
        ("acuracy > 0.9", "did you mean accuracy"),
        ("not (accuracy > 0.9 or old.top5_accuracy > 0)", "'old.top5_accuracy' is no metric"),
        ("val_log_loss < production", "'val_log_loss' is no metric of a training; there are val_loss, "),
        ("test_average_precision > 0.5", "'test_average_precision' is no metric of a training"),
    ],
)
def test_metrics_that_nothing_measures_are_refused(condition: str, reason: str | None) -> None:
    if reason is None:
        assert check_condition(condition, "if_")
        return
    with pytest.raises(InvalidInput, match=reason) as refused:
        check_condition(condition, "if_")
    assert refused.value.field == "if_"


def test_what_the_workers_measure_can_be_in_a_condition() -> None:
    measured = {*CLASS_METRICS, *NUMBER_METRICS, *LABEL_METRICS, "loss", "recall_at_1"}
    assert measured | set(get_args(PreferenceMetric)) == set(MEASURABLE)
    positive = {"positive_precision", "positive_recall", "positive_f1"}
    texts = {"exact_match", "token_f1", "rouge_l", "json_validity", "perplexity", "win_rate"}
    assert measured - {"loss", "rmse", "recall_at_1"} | {"log_loss", *positive, *texts} == set(METRICS)


@pytest.mark.parametrize(
    ("options", "reason"),
    [
        ({"promote_if": "val_loss < 1"}, "no alias"),
        ({"promote_if": "val_acuracy > 0.9", "alias": "production"}, "did you mean val_accuracy"),
        ({"promote_if": "accuracy > 0.9", "alias": "production"}, "val_accuracy"),
        ({"promote_if": "test_loss < 1", "alias": "production"}, "give test"),
        ({"promote_if": "val_loss < 1", "alias": "production", "validation": 0.0}, "give validation"),
        (
            {"promote_if": "val_accuracy > 0", "alias": "production", "task": "regression"},
            "not measured in a regression",
        ),
        (
            {"promote_if": "val_recall_at_1 > 0", "alias": "production", "task": "multilabel"},
            "not measured in a multilabel training",
        ),
        (
            {"promote_if": "val_accuracy > 0", "alias": "production", "task": "embedding"},
            "not measured in an embedding",
        ),
        (
            {"promote_if": "val_micro_f1 > 0", "alias": "production", "task": "classification"},
            "not measured in a classification",
        ),
        ({"promote_if": "val_micro_f1 > 0", "alias": "production", "task": "multilabel"}, "add it to the metrics"),
        (
            {"promote_if": "val_micro_f1 > 0", "alias": "p", "task": "multilabel", "metrics": ["micro_f1"]},
            None,
        ),
        ({"promote_if": "val_mae < 1 and val_f1 > 0", "alias": "p"}, None),
        ({"promote_if": "val_auroc > 0.9", "alias": "p"}, "'val_auroc' is not measured; add it to the metrics: auroc"),
        (
            {"promote_if": "val_balanced_accuracy > 0.9", "alias": "p"},
            "is no metric of a training; there are val_loss, ",
        ),
        ({"promote_if": "val_recall_at_1 > 0", "alias": "production", "task": "embedding"}, None),
        ({"promote_if": "val_loss <", "alias": "production"}, "at character 11"),
        ({"promote_if": "val_loss < 1 and train_loss < 1 and val_loss < production", "alias": "production"}, None),
        ({"promote_if": "test_r2 > 0", "alias": "production", "split": "part"}, None),
    ],
)
def test_what_a_training_cannot_give_is_refused(options: dict[str, object], reason: str | None) -> None:
    data = FileInput(uri="/", format="csv")
    spec = TrainSpec.model_validate({"model": "m", "family": "mlp", "data": data, "target": "y", **options})
    if reason is None:
        check_gate(spec)
        return
    with pytest.raises(InvalidInput, match=reason) as refused:
        check_gate(spec)
    assert refused.value.field == "promote_if"
