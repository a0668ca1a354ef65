"""Fully sharded data parallel (FSDP2): every device has a shard of the network, and gathers a layer to compute it.

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
from longshore.workers.train.strategy.process_group import ProcessGroup, refuse_batch_norm

#: The full state, in the CPU memory of rank 0.
_WHOLE = StateDictOptions(full_state_dict=True, cpu_offload=True)


class Fsdp(ProcessGroup):
    """See :class:`~longshore.workers.train.strategy.base.Strategy`."""

    def prepare(self, network: nn.Module, device: torch.device, seed: int) -> None:
        """Shard every layer that has parameters, and the remaining parameters with the whole network.

        Layers are sharded one by one, so that a network larger than one device never has to fit on it.
        """
        refuse_batch_norm(network)
        mesh = init_device_mesh(device.type, (self.world_size,))
        for unit in units(network):
            fully_shard(unit, mesh=mesh)
        fully_shard(network, mesh=mesh)
        network.to(device)  # buffers
        self.seed_rank(seed)

    def wrap(self, network: nn.Module, width: int) -> nn.Module:
        """The network itself: it is sharded in place."""
        return network

    @contextmanager
    def gradient_sync(self, model: nn.Module, sync: bool) -> Iterator[None]:
        """See :meth:`Strategy.gradient_sync`."""
        assert isinstance(model, FSDPModule)
        model.set_requires_gradient_sync(sync)
        yield

    def network_state_dict(self, network: nn.Module) -> Weights:
        """See :meth:`Strategy.network_state_dict`."""
        state: Weights = get_model_state_dict(network, options=_WHOLE)  # type: ignore[assignment]
        return state

    def load_network_state_dict(self, network: nn.Module, weights: Weights) -> None:
        """See :meth:`Strategy.load_network_state_dict`."""
        set_model_state_dict(network, dict(weights), options=StateDictOptions(full_state_dict=True))

    def optimizer_state_dict(self, network: nn.Module, optimizer: torch.optim.Optimizer) -> State:
        """See :meth:`Strategy.optimizer_state_dict`; keyed by parameter name."""
        return get_optimizer_state_dict(network, optimizer, options=_WHOLE)

    def load_optimizer_state_dict(
        self, network: nn.Module, optimizer: torch.optim.Optimizer, state: Mapping[str, Any]
    ) -> None:
        """See :meth:`Strategy.load_optimizer_state_dict`."""
        options = StateDictOptions(full_state_dict=True)
        set_optimizer_state_dict(network, optimizer, dict(state), options=options)

    def unwrap(self, network: nn.Module, build: Callable[[], nn.Module]) -> nn.Module:
        """See :meth:`Strategy.unwrap`."""
        weights, fresh = self.network_state_dict(network), build()
        if self.rank == 0:
            fresh.load_state_dict(weights)
        return fresh

    def full_state_dict(self, local: Weights) -> Weights:
        """See :meth:`Strategy.full_state_dict`."""
        gathered: dict[str, torch.Tensor] = {}
        for name, tensor in local.items():
            full = tensor.full_tensor() if isinstance(tensor, DTensor) else tensor
            if self.rank == 0:
                gathered[name] = full.cpu()
        return gathered

    def local_state_dict(self, network: nn.Module, full: Weights) -> Weights:
        """See :meth:`Strategy.local_state_dict`."""
        own = network.state_dict()
        shards: dict[str, torch.Tensor] = {}
        for name, tensor in full.items():
            like = own[name]
            shards[name] = tensor
            if isinstance(like, DTensor):
                # Each rank has read the full state, so nothing is sent.
                on_device = tensor.to(like.device)
                shards[name] = distribute_tensor(on_device, like.device_mesh, like.placements, src_data_rank=None)
        return shards


def units(network: nn.Module) -> list[nn.Module]:
    """The layers that are sharded separately: those of a container, and whole transformer blocks."""
    layers: list[nn.Module] = []
    for child in network.children():
        if isinstance(child, nn.Sequential | nn.ModuleList | nn.TransformerEncoder):
            layers += units(child)
        elif any(True for _ in child.parameters()):
            layers.append(child)
    return layers
