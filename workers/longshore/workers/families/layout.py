"""Sets the memory layout of convolution weights."""

from __future__ import annotations

import torch
from torch import nn

from longshore.workers.families.base import Family


def channels_last(network: nn.Module, family: Family) -> None:
    """Store the weights of 2-d convolutions with channels last, if the family allows it.

    PyTorch's convolutions then use this layout for images too, which suits the kernels of CPUs and the tensor cores of
    GPUs. Values and shapes do not change.
    https://docs.pytorch.org/tutorials/intermediate/memory_format_tutorial.html
    """
    if not getattr(family, "channels_last", False):  # families of packages need not define it
        return
    for layer in network.modules():
        if isinstance(layer, nn.Conv2d):
            layer.weight.data = layer.weight.data.contiguous(memory_format=torch.channels_last)
