"""Metrics of held-out rows, against scikit-learn's."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from sklearn import metrics as reference
from torch import nn
from torch.nn import functional

from longshore.shared.errors import InvalidInput
from longshore.workers.train.evaluate import Evaluation
from longshore.workers.train.losses import squared_error
from longshore.workers.train.rows import InMemoryRows

CPU = torch.device("cpu")
ROWS = torch.randn(3000, 4, generator=torch.Generator().manual_seed(2))
CLASSES = torch.randint(0, 4, (3000,), generator=torch.Generator().manual_seed(3))


def evaluation(targets: torch.Tensor, classes: int | None, *names: str) -> Evaluation:
    rows = InMemoryRows(ROWS, targets, torch.arange(len(ROWS)))
    loss = squared_error if classes is None else functional.cross_entropy
    return Evaluation(rows, classes, loss, 64, CPU, "val_", names or None)


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
    # It is measured in bins.
    area = reference.roc_auc_score(true, shares, multi_class="ovr", average="macro")
    assert given["val_auroc"] == pytest.approx(area, abs=0.005)
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


def test_what_is_for_other_targets_is_refused() -> None:
    with pytest.raises(InvalidInput, match=r"^metrics: 'mae' is none of classes; there are accuracy, precision"):
        evaluation(CLASSES, 4, "mae")
    with pytest.raises(InvalidInput, match=r"^metrics: 'f1' is none of numbers; there are mae"):
        evaluation(ROWS[:, 0], None, "f1")


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
