"""Sets of labels measured, against scikit-learn and against resampled rows."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn import metrics as sk

from longshore.shared.errors import DataError
from longshore.shared.specs.signature import Feature, Signature
from longshore.workers.evaluation import label_sets as module
from longshore.workers.evaluation.bootstrap import Bootstrap
from longshore.workers.evaluation.known import MISSING
from longshore.workers.evaluation.known_sets import KnownSets
from longshore.workers.evaluation.label_sets import SetRows
from longshore.workers.evaluation.rows import Measured

Bools = npt.NDArray[np.bool_]


def measure(
    logits: npt.NDArray[np.floating], true: Bools, *, unknown: object = 0, rounds: int = 50, seed: int = 0
) -> Measured:
    collector = SetRows([f"l{number}" for number in range(logits.shape[1])])
    targets = np.column_stack([true, np.broadcast_to(np.asarray(unknown), len(true))]).astype(np.float64)
    for part in np.array_split(np.arange(len(true)), 3):
        if len(part):
            collector.add(part + 100, logits[part].astype(np.float32), targets[part])
    return collector.measure(Bootstrap(rounds, seed, lambda: None), worst=5)


def rates(true: Bools, guesses: Bools) -> list[float]:
    """Precision, recall and F1 of one label."""
    found = sk.precision_recall_fscore_support(true, guesses, average="binary", zero_division=0)
    return [float(number) for number in found[:3]]


def by_scikit_learn(logits: npt.NDArray[np.floating], true: Bools) -> dict[str, float]:
    chances = torch.sigmoid(torch.from_numpy(logits.astype(np.float32))).numpy()
    guesses = chances >= 0.5
    labels = range(true.shape[1])
    each = [rates(true[:, n], guesses[:, n]) for n in labels]
    precision, recall, f1 = (np.mean([one[place] for one in each]) for place in range(3))
    found = {
        "accuracy": 1 - sk.hamming_loss(true, guesses),
        "subset_accuracy": (true == guesses).all(axis=1).mean(),
        **{"precision": precision, "recall": recall, "f1": f1},
        "micro_f1": sk.f1_score(true.ravel(), guesses.ravel(), zero_division=0),
        "log_loss": np.mean([sk.log_loss(true[:, n], chances[:, n].astype(np.float64), labels=[0, 1]) for n in labels]),
    }
    both = [n for n in labels if 0 < true[:, n].sum() < len(true)]
    if both:
        found["auroc"] = np.mean([sk.roc_auc_score(true[:, n], logits[:, n]) for n in both])
    return found


@settings(deadline=None, max_examples=60)
@given(st.integers(1, 5), st.integers(1, 60), st.integers(0, 10**6), st.sampled_from([0, 0.3, 1]))
def test_the_metrics_are_those_of_scikit_learn(labels: int, rows: int, seed: int, share: float) -> None:
    random = np.random.default_rng(seed)
    logits = random.normal(size=(rows, labels)).round(1).astype(np.float32)
    true = random.random((rows, labels)) < share
    found = measure(logits, true)
    expected = by_scikit_learn(logits, true)
    assert found.metrics == pytest.approx(expected, abs=1e-6)
    assert set(found.intervals) == set(expected)
    assert [each.support for each in found.classes] == true.sum(axis=0).tolist()
    guesses = logits >= 0
    for code, told in enumerate(found.classes):
        assert told.label == f"l{code}"
        assert [told.precision, told.recall, told.f1] == pytest.approx(rates(true[:, code], guesses[:, code]))
    assert found.confusion_matrix is None
    losses = [each.loss for each in found.worst]
    assert losses == sorted(losses, reverse=True)
    assert len(losses) == min(5, rows)
    for each in found.worst:
        place = each.row - 100
        assert each.target == tuple(f"l{code}" for code in np.flatnonzero(true[place]))
        assert each.prediction == tuple(f"l{code}" for code in np.flatnonzero(guesses[place]))


def test_rows_with_labels_that_are_unknown_are_wrong_as_a_whole() -> None:
    logits = np.array([[5, -5], [5, 5], [-5, -5]], np.float32)
    found = measure(logits, logits > 0, unknown=[0, 2, 1])
    assert found.unknown_rows == 2
    assert found.metrics["subset_accuracy"] == pytest.approx(1 / 3)
    assert (found.metrics["accuracy"], found.metrics["f1"]) == (1.0, 1.0)


def test_many_numbers_are_not_ranked(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "MAX_SCORES", 10)
    found = measure(np.ones((6, 2)), np.eye(6, 2, dtype=bool))
    assert "auroc" not in found.metrics
    assert found.notes == ("auroc is left out: 6 rows of 2 labels are too many to rank",)


def test_targets_are_read_and_bad_ones_are_errors_of_their_rows() -> None:
    signature = Signature(features=(Feature(name="x"),), task="multilabel", target="y", labels=("a", "b"))
    known = KnownSets(signature)
    found = known.read(pa.array([["b", "a"], [], None, ["a", "z", "z"], ["a", None], ["y"]]))
    assert found.values.tolist() == [[1, 1, 0], [0, 0, 0], [0, 0, 0], [1, 0, 2], [0, 0, 0], [0, 0, 1]]
    assert found.errors == {2: MISSING, 4: "a label of the target is missing"}
    assert known.unknown == ["'z'", "'y'"]
    with pytest.raises(DataError, match=r"the target holds text .*, and the version predicts several labels a row"):
        known.read(pa.array(["a"]))
    assert known.read(pa.array([None, None])).errors == {0: MISSING, 1: MISSING}
    assert known.read(pa.array([[], None])).errors == {1: MISSING}
    numbers = KnownSets(signature.model_copy(update={"labels": (1, 2)}))
    assert numbers.read(pa.array([[1.0, 2.0], [2.0]]).slice(1)).values.tolist() == [[0, 1, 0]]
