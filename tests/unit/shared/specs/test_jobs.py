"""Specs are checked where they are made, kept as JSON, and never change."""

from __future__ import annotations

import pytest
from pydantic import ValidationError

from longshore.shared.errors import InvalidInput
from longshore.shared.specs.base import Spec
from longshore.shared.specs.jobs import FileInput, InferSpec, InlineInput, JobOptions
from longshore.shared.specs.signature import Feature, Signature
from longshore.shared.specs.train import TrainSpec
from longshore.shared.vocabulary import FINAL_STATES, State

FILE = FileInput(uri="file:///digits.parquet", format="parquet")
TRAIN = TrainSpec(model="digits", family="mlp", data=FILE, target="label", config={"hidden": [64]}, alias="production")


def test_a_job_that_has_ended_stays_so() -> None:
    assert {state for state in State if state.final} == FINAL_STATES == {"succeeded", "failed", "cancelled"}
    assert str(State.QUEUED) == "queued"


@pytest.mark.parametrize(
    "spec", [TRAIN, InferSpec(data=FILE, batch_size=32), InferSpec(data=InlineInput(block="b", offset=2, rows=3))]
)
def test_a_spec_survives_json(spec: TrainSpec | InferSpec) -> None:
    assert type(spec).model_validate_json(spec.model_dump_json()) == spec


def test_a_spec_does_not_change() -> None:
    with pytest.raises(ValidationError, match="frozen"):
        setattr(TRAIN, "epochs", 3)  # noqa: B010


@pytest.mark.parametrize(
    ("name", "values"),
    [
        ("validation", [-0.1, 1, 2]),
        ("epochs", [0, 1.5, "x"]),
        ("batch_size", [0, -1]),
        ("learning_rate", [0, -1, float("nan"), float("inf")]),
        ("momentum", [-1, 1]),
        ("seed", [-1, 2**63]),
        ("optimizer", ["lbfgs", None]),
        ("task", ["ranking"]),
        ("data", [{"uri": "a", "format": "xlsx"}, {"block": "a"}, None]),
    ],
)
def test_what_training_cannot_do_is_refused(name: str, values: list[object]) -> None:
    for value in values:
        with pytest.raises(ValidationError, match=name):
            TrainSpec.model_validate({**TRAIN.model_dump(), name: value})


@pytest.mark.parametrize(
    ("name", "values"),
    [
        ("priority", [-1, 10, 1.5]),
        ("max_attempts", [0, 101]),
        ("timeout", [0, -1, float("inf"), float("nan")]),
        ("rows_per_shard", [0]),
        ("idempotency_key", ["", "x" * 201]),
        ("device", ["cuda:0"]),
    ],
)
def test_what_no_job_can_be_told_is_refused(name: str, values: list[object]) -> None:
    for value in values:
        with pytest.raises(ValidationError, match=name):
            JobOptions.model_validate({name: value})


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"embedding_width": 64}, "embedding_width: 64: only for task='embedding', not auto"),
        (
            {"contrast_temperature": 0.5, "task": "multilabel"},
            "contrast_temperature: 0.5: only for task='embedding', not multilabel",
        ),
        ({"task": "embedding", "teacher": "big:1"}, "teacher: big:1: an embedding learns from its targets alone"),
    ],
)
def test_what_is_of_embeddings_alone_is_refused_elsewhere(options: dict[str, object], said: str) -> None:
    with pytest.raises(InvalidInput, match=f"^{said}"):
        TrainSpec.model_validate({**TRAIN.model_dump(), **options}).check()
    TrainSpec.model_validate({**TRAIN.model_dump(), "task": "embedding", "embedding_width": 64}).check()


@pytest.mark.parametrize(
    ("task", "metrics", "said"),
    [
        ("classification", ["f1", "mae"], "'mae' is not a metric for classes; use accuracy, precision"),
        ("regression", ["f1"], "'f1' is not a metric for numbers; use mae, mse"),
        (
            "multilabel",
            ["perplexity"],
            "'perplexity' is not a metric for several labels a row; use accuracy, subset_acc",
        ),
        ("embedding", ["f1"], "'f1' is not a metric for embeddings; use recall_at_1"),
        ("multilabel", ["micro_f1", "subset_accuracy"], None),
        ("embedding", ["recall_at_1"], None),
        ("auto", ["mae", "recall_at_1"], None),
    ],
)
def test_metrics_of_other_tasks_are_refused_where_the_task_is_said(
    task: str, metrics: list[str], said: str | None
) -> None:
    asked = TrainSpec.model_validate({**TRAIN.model_dump(), "task": task, "metrics": metrics})
    if said is None:
        asked.check()
        return
    with pytest.raises(InvalidInput, match=f"^metrics: {said}"):
        asked.check()


def test_a_worker_of_the_release_before_refuses_to_drop_keys() -> None:
    class Before(Spec):
        """The fields that it knows of."""

        data: FileInput
        keep: tuple[str, ...] = ()

    keyed = InferSpec(data=FILE, keep=("id",), keyed=True)
    assert keyed.key_columns == ("id",)
    with pytest.raises(ValidationError, match="keyed"):
        Before.model_validate_json(keyed.model_dump_json(exclude_defaults=True))
    files = InferSpec(data=FILE, keep=("id",))
    assert files.key_columns == ()
    Before.model_validate_json(files.model_dump_json(exclude_defaults=True))


def test_a_threshold_is_of_several_labels_a_row_alone() -> None:
    features = (Feature(name="x"),)
    sets = Signature(features=features, task="multilabel", target="y", labels=("a", "b"))
    one = Signature(features=features, task="classification", target="y", labels=("a", "b"))
    vectors = Signature(features=features, task="embedding", target="y", embedding_width=4)
    asked = InferSpec(data=FILE, threshold=0.25, top_k=2)
    asked.check(sets, "family")
    with pytest.raises(InvalidInput, match=r"^threshold: 0.25: say of which class: positive='a' or 'b'"):
        asked.check(one, "family")
    with pytest.raises(InvalidInput, match=r"^top_k: 2: the version's task is embedding, which has no classes"):
        asked.check(vectors, "family")
    with pytest.raises(InvalidInput, match=r"^keep: 'scores' is a column of the outputs"):
        InferSpec(data=FILE, keep=("id", "scores")).check(sets, "family")
    InferSpec(data=FILE, keep=("id", "scores")).check(one, "family")
    with pytest.raises(InvalidInput, match=r"^keep: 'probability' is a column of the outputs"):
        InferSpec(data=FILE, keep=("probability",), positive="a").check(one, "family")
    InferSpec(data=FILE, keep=("probability",)).check(one, "family")
    for wrong in (-0.1, 1.1, float("nan")):
        with pytest.raises(ValidationError, match="threshold"):
            InferSpec(data=FILE, threshold=wrong)
