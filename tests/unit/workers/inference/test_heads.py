"""What sets of labels come to, row by row."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from longshore.shared.datasets.outputs.writers import open_writer
from longshore.shared.specs.signature import Feature, Signature
from longshore.workers.inference.batch_runner import NOT_FINITE
from longshore.workers.inference.heads import LabelsHead
from longshore.workers.runtimes.network import NetworkRuntime
from tests.computing import compute

CPU = torch.device("cpu")
LABELS = ("a", 'a "quote"', "grüße")
LOGITS = torch.tensor([[-1.0, 2.0, 0.5], [-3.0, -2.0, -1.0], [0.0, 0.0, 0.0], [float("nan"), 1.0, 2.0]])


def runtime(labels: tuple[str | int | bool, ...] = LABELS) -> NetworkRuntime:
    """Gives the logits of the row with the number that it reads."""
    signature = Signature(features=(Feature(name="x"),), task="multilabel", target="y", labels=labels)
    return NetworkRuntime(lambda rows: LOGITS[rows[:, 0].long()], 0, signature, CPU)


def rows(*numbers: int) -> pa.RecordBatch:
    return pa.RecordBatch.from_pydict({"x": pa.array(numbers, pa.float32())})


def score(logit: float) -> float:
    return float(str(np.float32(1 / (1 + np.exp(-logit)))))


def test_labels_that_are_probable_enough_come_most_probable_first() -> None:
    outputs, errors = compute(runtime(), rows(0, 1, 2), batch_size=2)
    assert outputs == [
        {"labels": ['a "quote"', "grüße"], "scores": pytest.approx([score(2.0), score(0.5)])},
        {"labels": [], "scores": []},
        # Half is enough, and of equals the first comes first.
        {"labels": list(LABELS), "scores": [0.5, 0.5, 0.5]},
    ]
    assert errors == {}


@pytest.mark.parametrize(
    ("threshold", "labels"), [(0.0, ['a "quote"', "grüße", "a"]), (0.7, ['a "quote"']), (0.9, []), (1.0, [])]
)
def test_a_threshold_says_what_is_enough(threshold: float, labels: list[str]) -> None:
    [found], _ = compute(runtime(), rows(0), threshold=threshold)
    assert found is not None
    assert found["labels"] == labels


def test_the_most_probable_are_given_whatever_the_threshold() -> None:
    outputs, _ = compute(runtime(), rows(1, 0), top_k=2, logits=True, threshold=0.6)
    first, second = outputs
    assert first is not None
    assert second is not None
    assert (first["labels"], second["labels"]) == ([], ['a "quote"', "grüße"])
    assert first["top_k"] == [
        {"label": "grüße", "score": pytest.approx(score(-1.0))},
        {"label": 'a "quote"', "score": pytest.approx(score(-2.0))},
    ]
    assert first["logits"] == [-3.0, -2.0, -1.0]
    [found], _ = compute(runtime(), rows(0), top_k=99)
    assert found is not None
    assert [each["label"] for each in found["top_k"]] == ['a "quote"', "grüße", "a"]  # type: ignore[attr-defined]


def test_what_is_not_finite_is_an_error_or_no_label() -> None:
    outputs, errors = compute(runtime(), rows(3, 0))
    assert (outputs[0], errors) == (None, {0: NOT_FINITE})
    [found], errors = compute(runtime(), rows(3), allow_nan=True, top_k=3, logits=True)
    assert found is not None
    assert (found["labels"], errors) == (["grüße", 'a "quote"'], {})
    assert {"label": None, "score": None} in found["top_k"]  # type: ignore[operator]
    assert found["logits"] == [None, 1.0, 2.0]


def test_numbers_are_labels_too() -> None:
    [found], _ = compute(runtime((10, 20, 30)), rows(0))
    assert found is not None
    assert found["labels"] == [20, 30]


@settings(deadline=None, max_examples=60)
@given(
    logits=st.lists(st.tuples(st.floats(-30, 30, width=32), st.floats(-30, 30, width=32)), min_size=1, max_size=20),
    threshold=st.floats(0.01, 0.99),
    index=st.sampled_from([0, 1]),
)
def test_a_positive_class_has_its_probability_and_a_threshold_decides(
    logits: list[tuple[float, float]], threshold: float, index: int
) -> None:
    signature = Signature(features=(Feature(name="x"),), task="classification", target="y", labels=(False, True))
    network = NetworkRuntime(lambda rows: torch.tensor(logits)[rows[:, 0].long()], 0, signature, CPU)
    numbers = rows(*range(len(logits)))
    chances = torch.softmax(torch.tensor(logits), dim=1).numpy()
    asked = str(bool(index))
    outputs, errors = compute(network, numbers, positive=asked, threshold=threshold, top_k=2, logits=True)
    plain, _ = compute(network, numbers)
    assert errors == {}
    for row, (output, before) in enumerate(zip(outputs, plain, strict=True)):
        assert output is not None
        assert before is not None
        chance = chances[row, index]
        is_positive = chance >= np.float32(threshold)
        decided = index if is_positive else 1 - index
        if threshold != 0.5:
            assert output["label"] is bool(decided)
            assert output["score"] == pytest.approx(float(chances[row, decided]), rel=1e-6)
        assert output["probability"] == pytest.approx(float(chance), rel=1e-6)
        assert output["top_k"][0]["label"] is before["label"]  # type: ignore[index]
    even, _ = compute(network, numbers, positive=bool(index))
    assert [{**each, "probability": None} for each in even if each] == [
        {**each, "probability": None} for each in plain if each
    ]


def test_a_probability_that_is_not_finite_is_an_error_or_null() -> None:
    signature = Signature(features=(Feature(name="x"),), task="classification", target="y", labels=("no", "yes"))
    logits = torch.tensor([[float("nan"), 1.0], [0.0, 3.0]])
    network = NetworkRuntime(lambda rows: logits[rows[:, 0].long()], 0, signature, CPU)
    outputs, errors = compute(network, rows(0, 1), positive="yes", threshold=0.99)
    assert (outputs[0], errors) == (None, {0: NOT_FINITE})
    assert outputs[1] == {"label": "no", "score": score(-3.0), "probability": score(3.0)}
    outputs, errors = compute(network, rows(0), positive="yes", threshold=0.99, allow_nan=True)
    assert (outputs, errors) == ([{"label": None, "score": None, "probability": None}], {})


@pytest.mark.parametrize("form", ["parquet", "jsonl"])
def test_files_have_them_as_lists(tmp_path: Path, form: str) -> None:
    head = LabelsHead(pa.array(LABELS), 0.5, None)
    kept = [tensor.numpy() for tensor in head.reduce(LOGITS[:3])]
    path = tmp_path / f"part.{form}"
    writer = open_writer(str(path), form)  # type: ignore[arg-type]
    writer.write(pa.table(head.columns(kept)))
    writer.close()
    if form == "parquet":
        found = pa.parquet.read_table(path).to_pylist()
    else:
        found = [json.loads(line) for line in path.read_text("utf-8").splitlines()]
    assert [each["labels"] for each in found] == [['a "quote"', "grüße"], [], list(LABELS)]
    assert [len(each["scores"]) for each in found] == [2, 0, 3]
