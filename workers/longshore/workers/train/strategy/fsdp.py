"""Every device holds a shard of the network, and gets the rest of a layer only while it computes it: FSDP2.

https://docs.pytorch.org/docs/stable/distributed.fsdp.fully_shard.html; Zhao et al., "PyTorch FSDP", 2023,
https://arxiv.org/abs/2304.11277
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import torch
from torch import nn
from torch.distributed.checkpoint.state_dict import (
    StateDictOptions,
    get_model_state_dict,
    get_optimizer_state_dict,
    set_model_state_dict,
    set_optimizer_state_dict,
)
from torch.distributed.device_mesh import init_device_mesh
from torch.distributed.fsdp import FSDPModule, fully_shard
from torch.distributed.tensor import DTensor, distribute_tensor

from longshore.workers.train.checkpoint.state_file import State
from longshore.workers.train.strategy.base import Weights
from longshore.workers.train.strategy.process_group import Group, refuse_batch_norm

#: Everything, in the memory of rank 0's CPU.
_WHOLE = StateDictOptions(full_state_dict=True, cpu_offload=True)


class Fsdp(Group):
    """See :class:`~longshore.workers.train.strategy.base.Strategy`."""

    def place(self, network: nn.Module, device: torch.device, seed: int) -> None:
        """Shard every layer that has parameters of its own, and what is left with the whole.

        Layer by layer, so that a network that no single device can hold never lies on one.
        """
        refuse_batch_norm(network)
        mesh = init_device_mesh(device.type, (self.size,))
        for unit in units(network):
            fully_shard(unit, mesh=mesh)
        fully_shard(network, mesh=mesh)
        network.to(device)  # buffers
        self.draw_apart(seed)

    def wrap(self, network: nn.Module, width: int) -> nn.Module:
        """The network itself: it is sharded in place."""
        return network

    @contextmanager
    def adding_up(self, model: nn.Module, now: bool) -> Iterator[None]:
        """See :meth:`Strategy.adding_up`."""
        assert isinstance(model, FSDPModule)
        model.set_requires_gradient_sync(now)
        yield

    def weights(self, network: nn.Module) -> Weights:
        """See :meth:`Strategy.weights`."""
        found: Weights = get_model_state_dict(network, options=_WHOLE)  # type: ignore[assignment]
        return found

    def load_weights(self, network: nn.Module, weights: Weights) -> None:
        """See :meth:`Strategy.load_weights`."""
        set_model_state_dict(network, dict(weights), options=StateDictOptions(full_state_dict=True))

    def optimizer_state(self, network: nn.Module, optimizer: torch.optim.Optimizer) -> State:
        """By the names of the parameters."""
        return get_optimizer_state_dict(network, optimizer, options=_WHOLE)

    def load_optimizer_state(
        self, network: nn.Module, optimizer: torch.optim.Optimizer, state: Mapping[str, Any]
    ) -> None:
        """See :meth:`Strategy.load_optimizer_state`."""
        options = StateDictOptions(full_state_dict=True)
        set_optimizer_state_dict(network, optimizer, dict(state), options=options)

    def plain(self, network: nn.Module, build: Callable[[], nn.Module]) -> nn.Module:
        """See :meth:`Strategy.plain`."""
        weights, fresh = self.weights(network), build()
        if self.rank == 0:
            fresh.load_state_dict(weights)
        return fresh

    def whole(self, part: Weights) -> Weights:
        """See :meth:`Strategy.whole`."""
        found: dict[str, torch.Tensor] = {}
        for name, tensor in part.items():
            full = tensor.full_tensor() if isinstance(tensor, DTensor) else tensor
            if self.rank == 0:
                found[name] = full.cpu()
        return found

    def part(self, network: nn.Module, whole: Weights) -> Weights:
        """See :meth:`Strategy.part`."""
        own = network.state_dict()
        found: dict[str, torch.Tensor] = {}
        for name, tensor in whole.items():
            like = own[name]
            found[name] = tensor
            if isinstance(like, DTensor):
                # Each rank has read the whole: nothing need be sent.
                whole_there = tensor.to(like.device)
                found[name] = distribute_tensor(whole_there, like.device_mesh, like.placements, src_data_rank=None)
        return found


def units(network: nn.Module) -> list[nn.Module]:
    """The layers that are sharded by themselves: those of a container, and blocks of a transformer as a whole."""
    found: list[nn.Module] = []
    for child in network.children():
        if isinstance(child, nn.Sequential | nn.ModuleList | nn.TransformerEncoder):
            found += units(child)
        elif any(True for _ in child.parameters()):
            found.append(child)
    return found
