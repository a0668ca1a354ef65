"""How the weights of convolutions lie in memory."""

from __future__ import annotations

import torch
from torch import nn

from longshore.workers.families.base import Family


def channels_last(network: nn.Module, family: Family) -> None:
    """Lay a network's 2-d convolutions out as its family allows: the channels of a pixel side by side.

    PyTorch's convolutions then take and give images laid out so, which is what the kernels of CPUs and the tensor cores
    of GPUs work on. Numbers and shapes stay.
    https://docs.pytorch.org/tutorials/intermediate/memory_format_tutorial.html
    """
    if not getattr(family, "channels_last", False):  # a package's family need not know of it
        return
    for layer in network.modules():
        if isinstance(layer, nn.Conv2d):
            layer.weight.data = layer.weight.data.contiguous(memory_format=torch.channels_last)
