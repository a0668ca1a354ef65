"""The confidence intervals of multilabel metrics, against scikit-learn on resampled rows."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import sklearn
import torch
from sklearn import metrics as sk
from torch.nn import functional

from tests.unit.workers.evaluation.test_label_sets import measure


def by_scikit_learn(logits: npt.NDArray[np.floating], true: npt.NDArray[np.bool_]) -> dict[str, float]:
    """All labels in each call, and without its checks of the arguments, which take longer than the metrics."""
    with sklearn.config_context(assume_finite=True, skip_parameter_validation=True):
        guesses = logits >= 0
        precision, recall, f1, _ = sk.precision_recall_fscore_support(true, guesses, average="macro", zero_division=0)
        losses = functional.binary_cross_entropy_with_logits(torch.from_numpy(logits), torch.from_numpy(true * 1.0))
        return {
            "accuracy": (guesses == true).mean(),
            "subset_accuracy": (guesses == true).all(axis=1).mean(),
            **{"precision": precision, "recall": recall, "f1": f1},
            "micro_f1": sk.f1_score(true.ravel(), guesses.ravel(), zero_division=0),
            "log_loss": losses.item(),
            "auroc": sk.roc_auc_score(true, logits, average="macro"),
        }


def test_the_intervals_are_those_of_resampled_rows() -> None:
    random = np.random.default_rng(3)
    true = random.random((500, 4)) < (0.2, 0.5, 0.7, 0.1)
    logits = random.normal(size=(500, 4)) + 2.0 * true - 1
    measured = measure(logits, true, rounds=2000)
    draws = [random.integers(0, 500, 500) for _ in range(400)]
    resampled = [by_scikit_learn(logits[draw], true[draw]) for draw in draws]
    assert measured.intervals.keys() == resampled[0].keys()
    for name, (low, high) in measured.intervals.items():
        quantiles = np.quantile([each[name] for each in resampled], (0.025, 0.975))
        assert low <= measured.metrics[name] <= high
        np.testing.assert_allclose((low, high), quantiles, atol=0.012, err_msg=name)
    assert measure(logits, true, rounds=2000).intervals == measured.intervals
    assert measure(logits, true, rounds=2000, seed=1).intervals != measured.intervals
