"""Metrics of held-out rows, against scikit-learn's."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from sklearn import metrics as reference
from torch import nn
from torch.nn import functional

from longshore.shared.errors import InvalidInput
from longshore.workers.train.data.batches import InMemoryRows
from longshore.workers.train.objective import evaluator, stored_rows
from longshore.workers.train.objective.evaluator import MetricsEvaluator
from longshore.workers.train.objective.losses import squared_error
from longshore.workers.train.objective.multilabel import binary_cross_entropy

CPU = torch.device("cpu")
ROWS = torch.randn(3000, 4, generator=torch.Generator().manual_seed(2))
CLASSES = torch.randint(0, 4, (3000,), generator=torch.Generator().manual_seed(3))


def evaluation(targets: torch.Tensor, classes: int | None, *names: str) -> MetricsEvaluator:
    rows = InMemoryRows(ROWS, targets, torch.arange(len(ROWS)))
    loss = squared_error if classes is None else functional.cross_entropy
    return MetricsEvaluator(rows, classes, loss, 64, CPU, "val_", names or None)


def test_of_classes() -> None:
    names = ("accuracy", "precision", "recall", "f1", "auroc", "perplexity")
    logits = ROWS * 0.5 + functional.one_hot(CLASSES, 4)
    found = Given(logits)
    one = evaluation(CLASSES, 4, *names)
    given = one.run(found, lambda: None)
    assert list(given) == ["val_loss", *(f"val_{name}" for name in names)]
    predicted, true = logits.argmax(1).numpy(), CLASSES.numpy()
    shares = logits.softmax(1).numpy()
    wanted = {
        "accuracy": reference.accuracy_score(true, predicted),
        "precision": reference.precision_score(true, predicted, average="macro"),
        "recall": reference.recall_score(true, predicted, average="macro"),
        "f1": reference.f1_score(true, predicted, average="macro"),
        "perplexity": np.exp(reference.log_loss(true, shares)),
    }
    assert {name: given[f"val_{name}"] for name in wanted} == pytest.approx(wanted, rel=1e-5)
    area = reference.roc_auc_score(true, shares, multi_class="ovr", average="macro")
    assert given["val_auroc"] == pytest.approx(area, abs=1e-6)
    found.restart()
    assert one.run(found, lambda: None) == given, "nothing stays from one epoch to the next"
    found.restart()
    assert one.confusion(found, lambda: None) == reference.confusion_matrix(true, predicted).tolist()


def test_of_numbers() -> None:
    targets = ROWS.sum(dim=1)
    outputs = targets.unsqueeze(1) + ROWS[:, :1] * 0.1
    given = evaluation(targets, None, "mae", "mse", "rmse", "r2").run(Given(outputs), lambda: None)
    guess, true = outputs.squeeze(1).numpy(), targets.numpy()
    wanted = {
        "val_loss": reference.mean_squared_error(true, guess),
        "val_mae": reference.mean_absolute_error(true, guess),
        "val_mse": reference.mean_squared_error(true, guess),
        "val_rmse": reference.mean_squared_error(true, guess) ** 0.5,
        "val_r2": reference.r2_score(true, guess),
    }
    assert given == pytest.approx(wanted, rel=1e-4)


@pytest.mark.parametrize("labels", [1, 4])
def test_of_several_labels_a_row(labels: int) -> None:
    names = ("accuracy", "subset_accuracy", "precision", "recall", "f1", "micro_f1", "auroc")
    true = torch.rand(3000, labels, generator=torch.Generator().manual_seed(4)) > 0.7
    # All of them between 0 and 1: they could be taken for probabilities.
    logits = torch.where(true, 0.6, 0.2) + torch.rand(3000, labels, generator=torch.Generator().manual_seed(5)) * 0.4
    logits -= 0.45 * (ROWS[:, :labels] > 0)
    for outputs in (logits, logits.clamp(0.001, 0.999)):
        found = Given(outputs)
        given = sets(true, *names).run(found, lambda: None)
        assert list(given) == ["val_loss", *(f"val_{name}" for name in names)]
        predicted = (outputs.sigmoid() >= 0.5).numpy()
        chances = outputs.sigmoid().double().numpy()
        known = true.numpy()
        areas = [reference.roc_auc_score(known[:, label], chances[:, label]) for label in range(labels)]
        averages = {
            name: function(known, predicted, average="macro", zero_division=0)
            for name, function in (
                ("precision", reference.precision_score),
                ("recall", reference.recall_score),
                ("f1", reference.f1_score),
            )
        }
        if labels == 1:  # scikit-learn takes one column for two classes, and averages over both
            averages = {
                "precision": reference.precision_score(known[:, 0], predicted[:, 0]),
                "recall": reference.recall_score(known[:, 0], predicted[:, 0]),
                "f1": reference.f1_score(known[:, 0], predicted[:, 0]),
            }
        wanted = {
            "loss": np.mean([reference.log_loss(known[:, label], chances[:, label]) for label in range(labels)]),
            "accuracy": (known == predicted).mean(),
            "subset_accuracy": (known == predicted).all(axis=1).mean(),
            "micro_f1": reference.f1_score(known.ravel(), predicted.ravel()),
            **averages,
        }
        assert {name: given[f"val_{name}"] for name in wanted} == pytest.approx(wanted, rel=1e-5)
        assert given["val_auroc"] == pytest.approx(np.mean(areas), abs=1e-6)


def test_of_labels_that_no_row_or_every_row_has_there_is_no_area() -> None:
    true = torch.zeros(3000, 3, dtype=torch.bool)
    true[:, 1], true[::2, 2] = True, True
    logits = ROWS[:, :3] + 2.0 * true
    given = sets(true, "auroc", "f1").run(Given(logits), lambda: None)
    area = reference.roc_auc_score(true[:, 2].numpy(), logits[:, 2].numpy())
    assert given["val_auroc"] == pytest.approx(area, abs=1e-9)
    none = sets(true[:, :2], "auroc", "f1").run(Given(logits[:, :2]), lambda: None)
    assert set(none) == {"val_loss", "val_f1"}


def test_small_and_equal_numbers_have_the_r2_of_scikit_learn() -> None:
    """Sums of squares near 0 are no reason for another value."""
    targets = ROWS[:, 0] * 1e-4
    outputs = (targets + ROWS[:, 1] * 1e-4).unsqueeze(1)
    given = evaluation(targets, None, "r2").run(Given(outputs), lambda: None)
    assert given["val_r2"] == pytest.approx(reference.r2_score(targets.double(), outputs[:, 0].double()), rel=1e-9)
    equal = torch.full((3000,), 0.1)
    assert evaluation(equal, None, "r2").run(Given(outputs), lambda: None)["val_r2"] == 0.0
    assert evaluation(equal, None, "r2").run(Given(equal.unsqueeze(1)), lambda: None)["val_r2"] == 1.0


def test_classes_that_are_rarely_probable_are_ranked() -> None:
    """Every probability of class 1 is below a thousandth; the order of the rows is still right."""
    rare = (torch.arange(3000) % 100 == 0).long()
    logits = torch.stack([torch.zeros(3000), rare * 1.5 + ROWS[:, 0] - 12], dim=1)
    given = evaluation(rare, 2, "auroc").run(Given(logits), lambda: None)
    assert given["val_auroc"] == pytest.approx(reference.roc_auc_score(rare, logits[:, 1]), rel=1e-9)


def test_too_many_logits_to_rank_are_noted(monkeypatch: pytest.MonkeyPatch) -> None:
    for module in (evaluator, stored_rows):
        monkeypatch.setattr(module, "MAX_SCORES", 11_999)
    measured = evaluation(CLASSES, 4, "auroc", "f1")
    assert set(measured.run(Given(ROWS), lambda: None)) == {"val_loss", "val_f1"}
    assert measured.notes == ["val_auroc is left out: 3000 rows of 4 classes are too many to rank"]
    assert evaluation(CLASSES, 4, "f1").notes == []


def test_what_is_for_other_targets_is_refused() -> None:
    with pytest.raises(InvalidInput, match=r"^metrics: 'mae' is not a metric for classes; use accuracy, precision"):
        evaluation(CLASSES, 4, "mae")
    with pytest.raises(InvalidInput, match=r"^metrics: 'f1' is not a metric for numbers; use mae"):
        evaluation(ROWS[:, 0], None, "f1")
    with pytest.raises(InvalidInput, match=r"^metrics: 'perplexity' is not a metric for several labels a row; use acc"):
        sets(ROWS[:, :2] > 0, "perplexity")


def sets(targets: torch.Tensor, *names: str) -> MetricsEvaluator:
    rows = InMemoryRows(ROWS, targets, torch.arange(len(ROWS)))
    return MetricsEvaluator(rows, targets.shape[1], binary_cross_entropy, 64, CPU, "val_", names or None, "multilabel")


class Given(nn.Module):
    """Gives outputs that are known, in the order of the rows."""

    def __init__(self, outputs: torch.Tensor) -> None:
        super().__init__()
        self._outputs = outputs
        self._next = 0

    def restart(self) -> None:
        """From the first row again."""
        self._next = 0

    def forward(self, rows: torch.Tensor) -> torch.Tensor:
        """The next so many."""
        start, self._next = self._next, self._next + len(rows)
        return self._outputs[start : self._next]
