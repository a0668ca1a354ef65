"""Training on one device, the default."""

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
        """Move the network to the device."""
        network.to(device)

    def wrap(self, network: nn.Module, width: int) -> nn.Module:
        """The network itself."""
        return network

    def gradient_sync(self, model: nn.Module, sync: bool) -> AbstractContextManager[object]:
        """No gradients to reduce."""
        return nullcontext()

    def local_rows(self, rows: int) -> slice:
        """All rows."""
        return slice(0, rows)

    def all_reduce(self, values: torch.Tensor) -> torch.Tensor:
        """The values themselves."""
        return values

    def broadcast(self, *flags: bool) -> tuple[bool, ...]:
        """The flags themselves."""
        return flags

    def all_gather(self, value: torch.Tensor) -> torch.Tensor:
        """The value itself."""
        return value

    def local_shard(self, gathered: torch.Tensor) -> torch.Tensor:
        """The value itself."""
        return gathered

    def network_state_dict(self, network: nn.Module) -> Weights:
        """The state as torch returns it."""
        return dict(network.state_dict())

    def load_network_state_dict(self, network: nn.Module, weights: Weights) -> None:
        """Load the state with torch."""
        network.load_state_dict(weights)

    def optimizer_state_dict(self, network: nn.Module, optimizer: torch.optim.Optimizer) -> State:
        """The state as torch returns it."""
        return optimizer.state_dict()

    def load_optimizer_state_dict(
        self, network: nn.Module, optimizer: torch.optim.Optimizer, state: Mapping[str, Any]
    ) -> None:
        """Load the state, each tensor in the memory layout of its parameter: fused optimizers need the same layout."""
        optimizer.load_state_dict(dict(state))
        for parameter, values in optimizer.state.items():
            for name, value in values.items():
                if isinstance(value, torch.Tensor) and value.shape == parameter.shape:
                    values[name] = torch.empty_like(parameter, dtype=value.dtype).copy_(value)

    def unwrap(self, network: nn.Module, build: Callable[[], nn.Module]) -> nn.Module:
        """The network itself."""
        return network

    def full_state_dict(self, local: Weights) -> Weights:
        """The weights themselves."""
        return local

    def local_state_dict(self, network: nn.Module, full: Weights) -> Weights:
        """The weights themselves."""
        return full
