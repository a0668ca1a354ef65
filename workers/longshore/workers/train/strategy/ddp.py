"""Distributed data parallel: every device has the whole network, and gradients are reduced.

Li et al., "PyTorch Distributed: Experiences on Accelerating Data Parallel Training", 2020,
https://arxiv.org/abs/2006.15704
"""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext

import torch
from torch import nn
from torch.nn.parallel import DistributedDataParallel

from longshore.workers.train.strategy.process_group import ProcessGroup, refuse_batch_norm
from longshore.workers.train.strategy.single import Single


class Ddp(ProcessGroup, Single):
    """See :class:`~longshore.workers.train.strategy.base.Strategy`. Checkpoints are those of a single device."""

    rank: int
    world_size: int

    def prepare(self, network: nn.Module, device: torch.device, seed: int) -> None:
        """See :meth:`Strategy.prepare`."""
        refuse_batch_norm(network)
        network.to(device)
        self.seed_rank(seed)

    def wrap(self, network: nn.Module, width: int) -> nn.Module:
        """A module over the same parameters; states are taken from ``network``.

        DDP reorders its buckets before the second pass, and a sum over more than two ranks depends on the position in a
        bucket. So the first pass happens here: a resumed training then sums exactly as one that never stopped.
        """
        model = DistributedDataParallel(network, gradient_as_bucket_view=True)
        device = next(network.parameters()).device
        with torch.random.fork_rng(devices=[device] if device.type == "cuda" else []):
            for _ in range(2):
                torch.autograd.backward(model(torch.zeros(1, width, device=device)).sum())
        model.zero_grad()
        return model

    def gradient_sync(self, model: nn.Module, sync: bool) -> AbstractContextManager[object]:
        """See :meth:`Strategy.gradient_sync`."""
        assert isinstance(model, DistributedDataParallel)
        return nullcontext() if sync else model.no_sync()
