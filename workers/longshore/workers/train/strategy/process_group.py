"""What the ranks of a training do together, whatever of the network each of them holds."""

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
        """Neighbouring rows; ranks differ by one at most, and the first has the most."""
        return slice(-(-self.rank * rows // self.world_size), -(-(self.rank + 1) * rows // self.world_size))

    def all_reduce(self, values: torch.Tensor) -> torch.Tensor:
        """See :meth:`Strategy.all_reduce`."""
        summed = values.clone()
        distributed.all_reduce(summed)
        return summed

    def broadcast(self, *wishes: bool) -> tuple[bool, ...]:
        """See :meth:`Strategy.broadcast`. On the CPU, so that nobody waits for a device."""
        said = torch.tensor(wishes, dtype=torch.uint8)
        distributed.broadcast(said, 0)
        return tuple(map(bool, said.tolist()))

    def all_gather(self, value: torch.Tensor) -> torch.Tensor:
        """See :meth:`Strategy.all_gather`."""
        found = [torch.empty_like(value) for _ in range(self.world_size)]
        distributed.all_gather(found, value.contiguous())
        return torch.stack(found)

    def local_shard(self, gathered: torch.Tensor) -> torch.Tensor:
        """See :meth:`Strategy.local_shard`."""
        if gathered.ndim != 2 or len(gathered) != self.world_size:
            of = len(gathered) if gathered.ndim == 2 else 1
            raise InvalidInput("devices", f"{self.world_size}: the checkpoint to go on from is of {of}; give as many")
        # Copied: torch sets a generator to what begins at the storage, wherever a view of it begins.
        return gathered[self.rank].clone()

    def seed_rank(self, seed: int) -> None:
        """Make random numbers (dropout) differ between ranks."""
        if self.rank:
            torch.manual_seed(derive_seed("rank", seed, self.rank))


def refuse_batch_norm(network: nn.Module) -> None:
    """:raises InvalidInput: the network has layers that measure a batch, and would each measure a part of it."""
    for name, layer in network.named_modules():
        if isinstance(layer, nn.modules.batchnorm._BatchNorm):
            raise InvalidInput(
                "devices",
                f"layer {name} of the network is a {type(layer).__name__}, which would measure each device's rows by "
                "themselves; use one device, or a family with LayerNorm or GroupNorm",
            )
