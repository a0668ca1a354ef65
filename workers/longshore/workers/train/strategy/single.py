"""A training on one device, which every training is unless it is asked for more."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager, nullcontext
from typing import Any

import torch
from torch import nn

from longshore.workers.train.checkpoint.state_file import State
from longshore.workers.train.strategy.base import Weights


class Single:
    """See :class:`~longshore.workers.train.strategy.base.Strategy`. Nothing here copies or waits."""

    rank = 0
    world_size = 1

    def prepare(self, network: nn.Module, device: torch.device, seed: int) -> None:
        """Put it there."""
        network.to(device)

    def wrap(self, network: nn.Module, width: int) -> nn.Module:
        """The network itself."""
        return network

    def gradient_sync(self, model: nn.Module, sync: bool) -> AbstractContextManager[object]:
        """Nothing to add up."""
        return nullcontext()

    def local_rows(self, rows: int) -> slice:
        """All of them."""
        return slice(0, rows)

    def all_reduce(self, values: torch.Tensor) -> torch.Tensor:
        """As they are."""
        return values

    def broadcast(self, *wishes: bool) -> tuple[bool, ...]:
        """As it is wished."""
        return wishes

    def all_gather(self, value: torch.Tensor) -> torch.Tensor:
        """As it is."""
        return value

    def local_shard(self, gathered: torch.Tensor) -> torch.Tensor:
        """As it is."""
        return gathered

    def network_state_dict(self, network: nn.Module) -> Weights:
        """As torch gives it."""
        return dict(network.state_dict())

    def load_network_state_dict(self, network: nn.Module, weights: Weights) -> None:
        """As torch takes it."""
        network.load_state_dict(weights)

    def optimizer_state_dict(self, network: nn.Module, optimizer: torch.optim.Optimizer) -> State:
        """As torch gives it."""
        return optimizer.state_dict()

    def load_optimizer_state_dict(
        self, network: nn.Module, optimizer: torch.optim.Optimizer, state: Mapping[str, Any]
    ) -> None:
        """As torch takes it, each tensor laid out as its parameter: fused optimizers go through both side by side."""
        optimizer.load_state_dict(dict(state))
        for parameter, kept in optimizer.state.items():
            for name, value in kept.items():
                if isinstance(value, torch.Tensor) and value.shape == parameter.shape:
                    kept[name] = torch.empty_like(parameter, dtype=value.dtype).copy_(value)

    def unwrap(self, network: nn.Module, build: Callable[[], nn.Module]) -> nn.Module:
        """The network itself."""
        return network

    def full_state_dict(self, local: Weights) -> Weights:
        """As they are."""
        return local

    def local_state_dict(self, network: nn.Module, full: Weights) -> Weights:
        """As they are."""
        return full
