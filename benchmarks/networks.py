"""The networks that the benchmarks run on both sides. Needs only torch."""

from __future__ import annotations

import torch
from torch import nn


def mlp() -> nn.Module:
    """784-256-10."""
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(784, 256), nn.ReLU(), nn.Linear(256, 10)).eval()


def cnn() -> nn.Module:
    """The network of https://docs.pytorch.org/tutorials/beginner/blitz/cifar10_tutorial.html."""
    torch.manual_seed(0)
    layers: list[nn.Module] = [nn.Unflatten(1, (3, 32, 32))]
    layers += [nn.Conv2d(3, 6, 5), nn.ReLU(), nn.MaxPool2d(2), nn.Conv2d(6, 16, 5), nn.ReLU(), nn.MaxPool2d(2)]
    layers += [nn.Flatten(), nn.Linear(400, 120), nn.ReLU(), nn.Linear(120, 84), nn.ReLU(), nn.Linear(84, 10)]
    return nn.Sequential(*layers).eval()
