"""How a strategy shares rows and layers out, and what it refuses."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from longshore.shared.errors import InvalidInput
from longshore.workers.train.data.rank_sharding import computed_rows, rank_batch
from longshore.workers.train.strategy.fsdp import units
from longshore.workers.train.strategy.process_group import ProcessGroup, refuse_batch_norm


class At(ProcessGroup):
    """One of some ranks, that has no others."""

    def __init__(self, rank: int, size: int) -> None:
        self.rank, self.world_size = rank, size


def test_every_row_is_dealt_to_one_rank_and_the_first_has_the_most() -> None:
    for size in (2, 3, 7):
        for rows in range(1, 20):
            parts = [At(rank, size).local_rows(rows) for rank in range(size)]
            assert [row for part in parts for row in range(rows)[part]] == list(range(rows))
            counts = [part.stop - part.start for part in parts]
            assert max(counts) - min(counts) <= 1
            assert counts[0] == max(counts)


def test_a_rank_without_rows_computes_one_that_does_not_count() -> None:
    rows, targets = torch.arange(4.0).reshape(2, 2), torch.tensor([5, 6])
    last = At(2, 3)
    assert (last.local_rows(2), computed_rows(last, 2)) == (slice(2, 2), slice(0, 1))  # type: ignore[arg-type]
    (inputs, given), count = rank_batch(last, rows, targets)  # type: ignore[arg-type]
    assert (inputs.tolist(), given.tolist(), count) == ([[0, 1]], [5], 0)


def test_layers_that_measure_a_batch_are_refused() -> None:
    refuse_batch_norm(nn.Sequential(nn.Linear(2, 2), nn.LayerNorm(2)))
    with pytest.raises(InvalidInput, match=r"^devices: layer 1 of the network is a BatchNorm1d"):
        refuse_batch_norm(nn.Sequential(nn.Linear(2, 2), nn.BatchNorm1d(2)))


def test_a_checkpoint_of_other_devices_is_refused() -> None:
    with pytest.raises(InvalidInput, match=r"^devices: 2: the checkpoint to resume from has devices=3; use as many"):
        At(0, 2).local_shard(torch.zeros(3, 8))
    with pytest.raises(InvalidInput, match=r"has devices=1; use as many"):
        At(0, 2).local_shard(torch.zeros(8))


def test_layers_are_sharded_one_by_one() -> None:
    layer = nn.TransformerEncoderLayer(4, 2, 8, batch_first=True)
    network = nn.Sequential(nn.Linear(4, 4), nn.ReLU(), nn.TransformerEncoder(layer, 2), nn.Linear(4, 2))
    names = [type(each).__name__ for each in units(network)]
    assert names == ["Linear", "TransformerEncoderLayer", "TransformerEncoderLayer", "Linear"]
