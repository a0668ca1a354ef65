"""The interface between the training loop and the devices that it runs on."""

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
    """One of the processes that train together, each with its own device; ranks count from 0.

    Every rank must call a *collective* method, in the same order: each waits for the others.
    """

    @property
    def rank(self) -> int:
        """The rank of this process. Rank 0 reports, and saves checkpoints."""
        ...

    @property
    def world_size(self) -> int:
        """The number of processes."""
        ...

    def prepare(self, network: nn.Module, device: torch.device, seed: int) -> None:
        """Put a network, which is the same on every rank, on the devices before the optimizer is made. Collective.

        :param seed: the job's seed. From now on each rank draws random numbers of its own.
        :raises InvalidInput: the network has layers that would learn differently than on one device.
        """

    def wrap(self, network: nn.Module, width: int) -> nn.Module:
        """Wrap the network for the forward passes of training, so that gradients are reduced. Collective.

        :param width: numbers in one row.
        """

    def gradient_sync(self, model: nn.Module, sync: bool) -> AbstractContextManager[object]:
        """The context of a forward and a backward pass.

        :param sync: reduce gradients over the ranks in this pass; otherwise a later pass does.
        """

    def local_rows(self, rows: int) -> slice:
        """The share of this rank in ``rows`` rows. Shares follow the order of ranks; rank 0 has some if any has."""

    def all_reduce(self, values: torch.Tensor) -> torch.Tensor:
        """The sum over the ranks, with the same bits on each. Collective."""

    def broadcast(self, *flags: bool) -> tuple[bool, ...]:
        """The flags of rank 0. Collective."""

    def all_gather(self, value: torch.Tensor) -> torch.Tensor:
        """The values of all ranks, ``(world_size, ...)``; on a single device the value itself. Collective."""

    def local_shard(self, gathered: torch.Tensor) -> torch.Tensor:
        """The value of this rank in a result of :meth:`all_gather`.

        :raises InvalidInput: the result has another number of ranks.
        """

    def network_state_dict(self, network: nn.Module) -> Weights:
        """The whole state of a network. Collective. If it is sharded, only rank 0 gets it."""

    def load_network_state_dict(self, network: nn.Module, weights: Weights) -> None:
        """Load a whole state on every rank. Collective."""

    def optimizer_state_dict(self, network: nn.Module, optimizer: torch.optim.Optimizer) -> State:
        """The whole state of an optimizer. Collective. If it is sharded, only rank 0 gets it."""

    def load_optimizer_state_dict(
        self, network: nn.Module, optimizer: torch.optim.Optimizer, state: Mapping[str, Any]
    ) -> None:
        """Load a whole state on every rank. Collective."""

    def unwrap(self, network: nn.Module, build: Callable[[], nn.Module]) -> nn.Module:
        """The network with all weights. Collective. If it is sharded, only the network of rank 0 is complete.

        :param build: makes a network of the same shape.
        """

    def full_state_dict(self, local: Weights) -> Weights:
        """The whole of what :meth:`local_state_dict` has split. Collective. If it is sharded, only rank 0 gets it."""

    def local_state_dict(self, network: nn.Module, full: Weights) -> Weights:
        """This rank's share of a network's weights, as in its ``state_dict``."""
