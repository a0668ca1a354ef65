"""What the training loop asks of how it is spread over devices."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager
from typing import Any, Protocol

import torch
from torch import nn

from longshore.workers.train.checkpoint.state_file import State

#: Tensors by name.
Weights = Mapping[str, torch.Tensor]


class Strategy(Protocol):
    """One of the processes that train together, its *rank* from 0; each has one device.

    What is called *together* must be called by every rank, in the same order: each waits for the others.
    """

    @property
    def rank(self) -> int:
        """Which one this is. Rank 0 reports, and keeps checkpoints."""
        ...

    @property
    def world_size(self) -> int:
        """How many there are."""
        ...

    def prepare(self, network: nn.Module, device: torch.device, seed: int) -> None:
        """Put a network that is the same on every rank on the devices, before an optimizer is made. Together.

        :param seed: of the job. From here on each rank draws random numbers of its own.
        :raises InvalidInput: the network has parts that would learn something else than on one device.
        """

    def wrap(self, network: nn.Module, width: int) -> nn.Module:
        """What the forward passes of training go through, so that gradients are added up. Together.

        :param width: numbers in one row.
        """

    def gradient_sync(self, model: nn.Module, sync: bool) -> AbstractContextManager[object]:
        """Around a forward and a backward pass.

        :param now: whether gradients are added up over the ranks in it, or wait for a later one.
        """

    def local_rows(self, rows: int) -> slice:
        """Which of so many rows, dealt out to the ranks in order, are this rank's; rank 0 has some if there are any."""

    def all_reduce(self, values: torch.Tensor) -> torch.Tensor:
        """The sum over the ranks, the same bits on each. Together."""

    def broadcast(self, *wishes: bool) -> tuple[bool, ...]:
        """What rank 0 wishes. Together."""

    def all_gather(self, value: torch.Tensor) -> torch.Tensor:
        """What every rank has of something, to be kept: ``(size, ...)``; of a single one as it is. Together."""

    def local_shard(self, gathered: torch.Tensor) -> torch.Tensor:
        """The part of this rank of what :meth:`all_gather` gave.

        :raises InvalidInput: it is of as many ranks as there are not.
        """

    def network_state_dict(self, network: nn.Module) -> Weights:
        """All of a network's state. Together. Where it is sharded, ranks other than 0 get nothing."""

    def load_network_state_dict(self, network: nn.Module, weights: Weights) -> None:
        """The other way round, on every rank. Together."""

    def optimizer_state_dict(self, network: nn.Module, optimizer: torch.optim.Optimizer) -> State:
        """All of an optimizer's state. Together. Where it is sharded, ranks other than 0 get nothing."""

    def load_optimizer_state_dict(
        self, network: nn.Module, optimizer: torch.optim.Optimizer, state: Mapping[str, Any]
    ) -> None:
        """The other way round, on every rank. Together."""

    def unwrap(self, network: nn.Module, build: Callable[[], nn.Module]) -> nn.Module:
        """A network with all weights. Together. Where it is sharded, that of ranks other than 0 is of no use.

        :param build: makes one of the same shape.
        """

    def full_state_dict(self, local: Weights) -> Weights:
        """The whole of what :meth:`local_state_dict` has split. Collective. If it is sharded, only rank 0 gets it."""

    def local_state_dict(self, network: nn.Module, full: Weights) -> Weights:
        """What a rank holds of a network's weights, as its ``state_dict`` has them."""
