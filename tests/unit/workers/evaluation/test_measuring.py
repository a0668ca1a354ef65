"""Metrics against scikit-learn's, intervals against what is known of them, and targets that are odd."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn import metrics as sk

from longshore.shared.specs.evaluate import OTHERS, UNKNOWN
from longshore.shared.specs.positive import PositiveClass
from longshore.shared.specs.signature import Feature, Signature, Task
from longshore.workers.evaluation import classes as classes_module
from longshore.workers.evaluation.bootstrap import DRAWN, Bootstrap
from longshore.workers.evaluation.classes import ClassRows
from longshore.workers.evaluation.known import KnownTargets
from longshore.workers.evaluation.rows import Measured, largest
from longshore.workers.evaluation.values import ValueRows


def measure(
    logits: npt.NDArray[np.floating],
    codes: npt.NDArray[np.int64],
    *,
    rounds: int = 50,
    seed: int = 0,
    worst: int = 5,
) -> Measured:
    labels = [f"c{number}" for number in range(logits.shape[1])]
    collector = ClassRows(labels)
    for part in np.array_split(np.arange(len(codes)), 3):
        if len(part):
            collector.add(part, logits[part].astype(np.float32), codes[part].astype(np.float64))
    return collector.measure(Bootstrap(rounds, seed, lambda: None), worst)


@settings(deadline=None, max_examples=60)
@given(classes=st.integers(2, 6), rows=st.integers(1, 80), seed=st.integers(0, 10**6), ties=st.booleans())
def test_the_metrics_are_those_of_scikit_learn(classes: int, rows: int, seed: int, ties: bool) -> None:
    random = np.random.default_rng(seed)
    logits = random.normal(size=(rows, classes)).astype(np.float32)
    if ties:
        logits = logits.round()
    codes = random.integers(0, classes, rows)
    found = measure(logits, codes)
    logs = torch.log_softmax(torch.from_numpy(logits).double(), dim=1).numpy()
    chances, guesses = np.exp(logs), logits.argmax(axis=1)
    chances /= chances.sum(axis=1, keepdims=True)
    precision, recall, f1, _ = sk.precision_recall_fscore_support(codes, guesses, average="macro", zero_division=0)
    expected = {
        "accuracy": sk.accuracy_score(codes, guesses),
        "precision": precision,
        "recall": recall,
        "f1": f1,
        "log_loss": sk.log_loss(codes, chances, labels=range(classes)),
    }
    there = np.unique(codes)
    if len(there) > 1:
        # Rows with the same probability are ties, whatever the rounding of its last digits.
        ranked = [sk.roc_auc_score(codes == code, logs[:, code].round(12)) for code in there]
        expected["auroc"] = ranked[1] if classes == 2 else np.mean(ranked)
    assert found.metrics == pytest.approx(expected, abs=1e-9)
    assert set(found.intervals) == set(expected)
    assert found.confusion_matrix is not None
    matrix = sk.confusion_matrix(codes, guesses, labels=range(classes))
    np.testing.assert_array_equal(found.confusion_matrix.counts, matrix)
    assert [each.support for each in found.classes] == matrix.sum(axis=1).tolist()
    losses = [each.loss for each in found.worst]
    assert losses == sorted(losses, reverse=True)
    assert len(losses) == min(5, rows)


@settings(deadline=None, max_examples=60)
@given(
    rows=st.integers(1, 80),
    seed=st.integers(0, 10**6),
    threshold=st.sampled_from([0.1, 0.3, 0.5, 0.7, 0.95]),
    index=st.sampled_from([0, 1]),
    unknown=st.booleans(),
)
def test_the_metrics_of_a_positive_class_are_those_of_scikit_learn(
    rows: int, seed: int, threshold: float, index: int, unknown: bool
) -> None:
    random = np.random.default_rng(seed)
    logits = random.normal(size=(rows, 2)).astype(np.float32)
    codes = random.integers(0, 3 if unknown else 2, rows)
    collector = ClassRows([False, True], PositiveClass(index, threshold))
    collector.add(np.arange(rows), logits, codes.astype(np.float64))
    found = collector.measure(Bootstrap(20, 0, lambda: None), 1)
    chances = torch.softmax(torch.from_numpy(logits), dim=1).numpy()[:, index]
    guesses = np.where(chances >= np.float32(threshold), index, 1 - index)
    expected = sk.precision_recall_fscore_support(codes == index, guesses == index, average="binary", zero_division=0)
    for name, value in zip(("precision", "recall", "f1"), expected, strict=False):
        assert found.metrics[f"positive_{name}"] == pytest.approx(value, abs=1e-9)
        assert f"positive_{name}" in found.intervals
    assert found.metrics["accuracy"] == pytest.approx(sk.accuracy_score(codes, guesses))
    there = codes[codes < 2]
    if len(np.unique(there)) == 2:
        exact = logits[codes < 2].astype(np.float64)  # differences of float32 can be ties that are none
        area = sk.roc_auc_score(there == index, exact[:, index] - exact[:, 1 - index])
        assert found.metrics["auroc"] == pytest.approx(area, abs=1e-9)
    assert found.confusion_matrix is not None
    assert np.sum(found.confusion_matrix.counts) == rows


def test_intervals_are_as_wide_as_theory_says_and_the_seed_repeats_them() -> None:
    random = np.random.default_rng(1)
    for rows in (2000, 3 * DRAWN):
        codes = random.integers(0, 2, rows)
        logits = random.normal(size=(rows, 2)) + 2 * np.eye(2)[codes]
        found = measure(logits, codes, rounds=1000)
        accuracy = found.metrics["accuracy"]
        low, high = found.intervals["accuracy"]
        assert high - low == pytest.approx(2 * 1.96 * np.sqrt(accuracy * (1 - accuracy) / rows), rel=0.12)
        chances = logits - np.log(np.exp(logits).sum(axis=1, keepdims=True))
        loss = -chances[np.arange(rows), codes]
        low, high = found.intervals["log_loss"]
        assert high - low == pytest.approx(2 * 1.96 * loss.std() / np.sqrt(rows), rel=0.12)
        for name, (low, high) in found.intervals.items():
            assert low <= found.metrics[name] <= high
        assert measure(logits, codes, rounds=1000).intervals == found.intervals
        assert measure(logits, codes, rounds=1000, seed=1).intervals != found.intervals


def test_the_interval_of_auroc_is_that_of_resampled_rows() -> None:
    random = np.random.default_rng(2)
    codes = random.integers(0, 2, 400)
    logits = np.column_stack([np.zeros(400), random.normal(size=400) + codes])
    found = measure(logits, codes, rounds=2000)
    draws = [random.integers(0, 400, 400) for _ in range(400)]
    resampled = [sk.roc_auc_score(codes[draw], logits[draw, 1]) for draw in draws]
    np.testing.assert_allclose(found.intervals["auroc"], np.quantile(resampled, (0.025, 0.975)), atol=0.01)


def test_labels_that_are_unknown_count_as_wrong_and_have_no_loss() -> None:
    logits = np.array([[5, 0], [5, 0], [0, 5], [5, 0]], np.float32)
    found = measure(logits, np.array([0, 1, 1, 2]))
    assert found.metrics["accuracy"] == 0.5
    assert found.metrics["log_loss"] == pytest.approx((2 * np.log1p(np.exp(-5)) + np.log1p(np.exp(5))) / 3, rel=1e-5)
    assert found.unknown_rows == 1
    assert found.confusion_matrix is not None
    assert found.confusion_matrix.labels == ("c0", "c1", UNKNOWN)
    assert found.confusion_matrix.counts == ((1, 0, 0), (1, 1, 0), (1, 0, 0))
    assert found.worst[0].row == 1
    assert len(found.worst) == 3
    only = measure(logits[:1], np.array([2]))
    assert only.metrics == {"accuracy": 0.0, "precision": 0.0, "recall": 0.0, "f1": 0.0}


def test_many_classes_stay_small_and_without_ranks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(classes_module, "MAX_SCORES", 1000)
    random = np.random.default_rng(3)
    found = measure(random.normal(size=(300, 1500)), random.integers(0, 1500, 300))
    assert "auroc" not in found.metrics
    assert "too many to rank" in found.notes[0]
    assert len(found.classes) == 1000
    assert found.confusion_matrix is not None
    assert len(found.confusion_matrix.labels) == 101
    assert found.confusion_matrix.labels[-1] == OTHERS
    assert sum(map(sum, found.confusion_matrix.counts)) == 300


@settings(deadline=None, max_examples=40)
@given(rows=st.integers(1, 60), seed=st.integers(0, 10**6))
def test_the_metrics_of_a_regression(rows: int, seed: int) -> None:
    random = np.random.default_rng(seed)
    targets = random.normal(size=rows)
    outputs = (targets + random.normal(size=rows)).astype(np.float32)
    collector = ValueRows()
    collector.add(np.arange(rows), outputs[:, None], targets)
    found = collector.measure(Bootstrap(50, 0, lambda: None), 3)
    expected = {
        "mae": sk.mean_absolute_error(targets, outputs),
        "mse": sk.mean_squared_error(targets, outputs),
    }
    if rows > 1:
        expected["r2"] = sk.r2_score(targets, outputs)
    assert found.metrics == pytest.approx(expected)
    assert set(found.intervals) == set(expected)
    assert found.worst[0].row == int(np.argmax((outputs - targets) ** 2))


def test_no_resamples_give_no_intervals() -> None:
    assert measure(np.eye(2, dtype=np.float32), np.array([0, 1]), rounds=0).intervals == {}


def test_the_largest_come_first_and_of_equals_the_earliest() -> None:
    assert largest(np.array([1.0, 3.0, 2.0, 3.0, 3.0]), 2).tolist() == [1, 3]
    assert largest(np.array([1.0, -np.inf]), 0).tolist() == []


def signature(*labels: str | int | bool) -> Signature:
    task: Task = "classification" if labels else "regression"
    return Signature(features=(Feature(name="x"),), task=task, target="y", labels=labels or None)


@pytest.mark.parametrize(
    ("labels", "column", "codes", "errors"),
    [
        (("a", "b"), pa.array(["b", None, "z", "a"]), [1, 0, 2, 0], {1: "missing"}),
        (("a", "b"), pa.array(["b", "a"]).dictionary_encode(), [1, 0], {}),
        ((3, 7), pa.array([7.0, 3.0, 3.5, float("nan")]), [1, 0, 2, 0], {3: "missing"}),
        ((3, 7), pa.array(["7", "x", "3"]), [1, 2, 0], {}),
        ((False, True), pa.array([True, False, None]), [1, 0, 0], {2: "missing"}),
        ((1, "1", True), pa.array([1, 2]), [0, 3], {}),
        ((), pa.array([1, None, 3], pa.int32()), [1.0, 0.0, 3.0], {1: "missing"}),
        ((), pa.array([1.5, float("inf")]), [1.5, 0.0], {1: "not finite"}),
        ((), pa.array(["2.5", "two"]), [2.5, 0.0], {1: "no number"}),
    ],
)
def test_targets_as_numbers(
    labels: tuple[str | int | bool, ...], column: pa.Array, codes: list[float], errors: dict[int, str]
) -> None:
    reader = KnownTargets(signature(*labels))
    found = reader.read(column)
    assert found.values.tolist() == codes
    assert found.errors.keys() == errors.keys()
    assert all(reason in found.errors[row] for row, reason in errors.items())


def test_unknown_labels_are_named_once() -> None:
    reader = KnownTargets(signature("a", "b"))
    reader.read(pa.array(["x", "y", "x"]))
    reader.read(pa.array(["x", *map(str, range(100))]))
    assert reader.unknown[:3] == ["'x'", "'y'", "'0'"]
    assert len(reader.unknown) == 20
