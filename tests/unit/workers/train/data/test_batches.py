"""Rows in memory, batch by batch."""

from __future__ import annotations

import pytest
import torch

from longshore.shared.specs.train.augment import Augment
from longshore.workers.train.data.augment import Augmentation
from longshore.workers.train.data.batches import AugmentedRows, InMemoryRows, TrainingRows

ROWS = InMemoryRows(torch.arange(200.0).reshape(100, 2), torch.arange(100), torch.arange(3, 98), seed=5)
AUGMENTED = AugmentedRows(ROWS, Augmentation(Augment(rotation=30), (1, 1, 2), 5, None))


def test_each_row_comes_once_an_epoch_with_its_target() -> None:
    batches = list(ROWS.batches(1, 16))
    assert [len(targets) for _, targets in batches] == [16] * 5 + [15]
    assert sorted(torch.cat([targets for _, targets in batches]).tolist()) == list(range(3, 98))
    for inputs, targets in [*batches, *ROWS.in_order(16)]:
        assert torch.equal(inputs[:, 0], targets * 2.0)
    assert torch.cat([targets for _, targets in ROWS.in_order(16)]).tolist() == list(range(3, 98))


@pytest.mark.parametrize("rows", [ROWS, AUGMENTED])
def test_an_epoch_goes_on_from_any_step(rows: TrainingRows) -> None:
    whole = list(rows.batches(2, 16))
    for start in range(len(whole) + 1):
        rest = list(rows.batches(2, 16, start))
        assert len(rest) == len(whole) - start
        for one, other in zip(rest, whole[start:], strict=True):
            assert all(torch.equal(a, b) for a, b in zip(one, other, strict=True))


def test_the_order_is_another_in_each_epoch() -> None:
    orders = [torch.cat([targets for _, targets in ROWS.batches(epoch, 16)]).tolist() for epoch in (1, 2, 1)]
    assert orders[0] == orders[2] != orders[1]
