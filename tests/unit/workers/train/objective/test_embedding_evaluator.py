"""How near embeddings lie to those of their class, against scikit-learn's neighbours."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from sklearn.neighbors import NearestNeighbors
from torch import nn
from torch.nn import functional

from longshore.shared.errors import InvalidInput
from longshore.workers.train.data.batches import InMemoryRows
from longshore.workers.train.objective import embedding_evaluator as neighbours
from longshore.workers.train.objective.contrastive import SupervisedContrastive
from longshore.workers.train.objective.embedding_evaluator import EmbeddingEvaluator, recall_at_1

CPU = torch.device("cpu")
ROWS = torch.randn(3000, 6, generator=torch.Generator().manual_seed(0))
CLASSES = torch.randint(0, 40, (3000,), generator=torch.Generator().manual_seed(1))
CLASSES[:3] = torch.tensor([40, 41, 42])  # alone in their classes
ROWS += functional.one_hot(CLASSES % 6, 6) * 1.5


def nothing() -> None:
    """Goes on."""


def by_scikit_learn(rows: torch.Tensor, classes: torch.Tensor) -> float:
    near = NearestNeighbors(n_neighbors=2, metric="cosine").fit(rows.numpy()).kneighbors(return_distance=False)
    right = classes.numpy()[near[:, 0]] == classes.numpy()
    paired = np.bincount(classes.numpy())[classes.numpy()] > 1
    return float(right[paired].mean())


def evaluation(batch: int = 128, *names: str) -> EmbeddingEvaluator:
    rows = InMemoryRows(ROWS, CLASSES, torch.arange(len(ROWS)))
    return EmbeddingEvaluator(rows, SupervisedContrastive(0.1), batch, CPU, "val_", names or None)


def test_the_recall_is_that_of_the_nearest_other_rows() -> None:
    found = evaluation().run(nn.Identity(), nothing)
    assert set(found) == {"val_loss", "val_recall_at_1"}
    assert found["val_recall_at_1"] == by_scikit_learn(ROWS, CLASSES)
    assert 0.03 < found["val_recall_at_1"] < 0.9
    perfect = evaluation().run(_Perfect(), nothing)
    assert perfect["val_recall_at_1"] == 1.0
    assert evaluation().run(nn.Identity(), nothing) == found


def test_the_loss_is_that_of_batches_as_large_as_those_of_training() -> None:
    found = evaluation(200).run(nn.Identity(), nothing)["val_loss"]
    order = torch.randperm(3000, generator=torch.Generator().manual_seed(0))
    loss = SupervisedContrastive(0.1)
    batches = [float(loss(ROWS[part], CLASSES[part])) for part in torch.split(order, 200)]
    assert found == pytest.approx(sum(batches) / len(batches), rel=1e-5)
    assert evaluation(3000).run(nn.Identity(), nothing)["val_loss"] > found, "more rows to tell apart"


def test_of_more_rows_than_are_compared_some_that_are_evenly_spaced_count(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(neighbours, "MAX_ROWS", 1500)
    found = evaluation().run(nn.Identity(), nothing)
    assert found["val_recall_at_1"] == by_scikit_learn(ROWS[::2], CLASSES[::2])
    monkeypatch.setattr(neighbours, "MAX_ROWS", 7)
    few = torch.arange(7) * 3000 // 7
    seen: list[int] = []
    evaluation().run(_Noting(seen), nothing)
    assert seen == few.tolist()


def test_rows_without_another_of_their_class_have_no_recall() -> None:
    units = functional.normalize(ROWS[:5], dim=1)
    assert math.isnan(recall_at_1(units, torch.arange(5), nothing))
    assert recall_at_1(units[[0, 0, 1]], torch.tensor([1, 1, 2]), nothing) == 1.0
    rows = InMemoryRows(ROWS, torch.arange(3000), torch.arange(3))
    assert EmbeddingEvaluator(rows, SupervisedContrastive(0.1), 8, CPU).run(nn.Identity(), nothing) == {"val_loss": 0.0}


def test_other_metrics_are_refused() -> None:
    with pytest.raises(
        InvalidInput, match=r"^metrics: 'f1' is not a metric of embeddings; the only one is recall_at_1"
    ):
        evaluation(128, "recall_at_1", "f1")


class _Perfect(nn.Module):
    """Looks the class up."""

    def __init__(self) -> None:
        super().__init__()
        self._next = 0

    def forward(self, rows: torch.Tensor) -> torch.Tensor:
        start, self._next = self._next, self._next + len(rows)
        return functional.one_hot(CLASSES[start : self._next], 43).float()


class _Noting(nn.Module):
    """Notes which of the rows it is given."""

    def __init__(self, seen: list[int]) -> None:
        super().__init__()
        self._seen = seen

    def forward(self, rows: torch.Tensor) -> torch.Tensor:
        self._seen += [int((row == ROWS).all(dim=1).nonzero()[0]) for row in rows]
        return rows
