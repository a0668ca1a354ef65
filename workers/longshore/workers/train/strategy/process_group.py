"""Collective operations of the ranks of a training."""

from __future__ import annotations

import torch
from torch import distributed, nn

from longshore.shared.errors import InvalidInput
from longshore.workers.train.seeds import derive_seed


class ProcessGroup:
    """The process group of this process; see :class:`~longshore.workers.train.strategy.base.Strategy`.

    https://docs.pytorch.org/docs/stable/distributed.html
    """

    def __init__(self) -> None:
        self.rank = distributed.get_rank()
        self.world_size = distributed.get_world_size()

    def local_rows(self, rows: int) -> slice:
        """Consecutive rows; shares differ by one row at most, and rank 0 has the largest."""
        return slice(-(-self.rank * rows // self.world_size), -(-(self.rank + 1) * rows // self.world_size))

    def all_reduce(self, values: torch.Tensor) -> torch.Tensor:
        """See :meth:`Strategy.all_reduce`."""
        summed = values.clone()
        distributed.all_reduce(summed)
        return summed

    def broadcast(self, *flags: bool) -> tuple[bool, ...]:
        """See :meth:`Strategy.broadcast`. On the CPU, so that no rank waits for a device."""
        values = torch.tensor(flags, dtype=torch.uint8)
        distributed.broadcast(values, 0)
        return tuple(map(bool, values.tolist()))

    def all_gather(self, value: torch.Tensor) -> torch.Tensor:
        """See :meth:`Strategy.all_gather`."""
        values = [torch.empty_like(value) for _ in range(self.world_size)]
        distributed.all_gather(values, value.contiguous())
        return torch.stack(values)

    def local_shard(self, gathered: torch.Tensor) -> torch.Tensor:
        """See :meth:`Strategy.local_shard`."""
        if gathered.ndim != 2 or len(gathered) != self.world_size:
            devices = len(gathered) if gathered.ndim == 2 else 1
            raise InvalidInput(
                "devices", f"{self.world_size}: the checkpoint to resume from has devices={devices}; use as many"
            )
        # Copied, because torch reads a generator's state from the start of the storage, not of the view.
        return gathered[self.rank].clone()

    def seed_rank(self, seed: int) -> None:
        """Make random numbers (dropout) differ between ranks."""
        if self.rank:
            torch.manual_seed(derive_seed("rank", seed, self.rank))


def refuse_batch_norm(network: nn.Module) -> None:
    """:raises InvalidInput: the network has batch norm layers, which would measure only the rows of one device."""
    for name, layer in network.named_modules():
        if isinstance(layer, nn.modules.batchnorm._BatchNorm):
            raise InvalidInput(
                "devices",
                f"layer {name} of the network is a {type(layer).__name__}, which would measure each device's rows by "
                "themselves; use one device, or a family with LayerNorm or GroupNorm",
            )
