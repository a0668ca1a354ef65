"""The confidence intervals of multilabel metrics, against scikit-learn on resampled rows."""

from __future__ import annotations

import numpy as np

from tests.unit.workers.evaluation.test_label_sets import by_scikit_learn, measure


def test_the_intervals_are_those_of_resampled_rows() -> None:
    random = np.random.default_rng(3)
    true = random.random((500, 4)) < (0.2, 0.5, 0.7, 0.1)
    logits = random.normal(size=(500, 4)) + 2.0 * true - 1
    measured = measure(logits, true, rounds=2000)
    draws = [random.integers(0, 500, 500) for _ in range(400)]
    resampled = [by_scikit_learn(logits[draw], true[draw]) for draw in draws]
    for name, (low, high) in measured.intervals.items():
        quantiles = np.quantile([each[name] for each in resampled], (0.025, 0.975))
        assert low <= measured.metrics[name] <= high
        np.testing.assert_allclose((low, high), quantiles, atol=0.012, err_msg=name)
    assert measure(logits, true, rounds=2000).intervals == measured.intervals
    assert measure(logits, true, rounds=2000, seed=1).intervals != measured.intervals
