"""``cnn``: a convolutional network over rows that are flattened images."""

from __future__ import annotations

from torch import nn

from longshore.shared.families import CnnConfig
from longshore.workers.families.base import NetworkFamily
from longshore.workers.families.layers import ACTIVATIONS, fully_connected


def build_cnn(config: CnnConfig, width: int, outputs: int) -> nn.Module:
    """``(n, C*H*W)``, read as images ``(n, C, H, W)``, to ``(n, outputs)``.

    Blocks of convolution, activation and max-pooling; then the pixels of all channels are one row for the fully
    connected layers. The defaults on (3, 32, 32)
    are the network of https://docs.pytorch.org/tutorials/beginner/blitz/cifar10_tutorial.html, after LeCun et al.,
    "Gradient-based learning applied to document recognition", 1998, https://doi.org/10.1109/5.726791.

    :raises InvalidInput: C*H*W is not ``width``, or a kernel or pooling window is larger than what it is moved over.
    """
    config.check_width(width)
    channels = config.input_shape[0]
    layers: list[nn.Module] = [nn.Unflatten(1, config.input_shape)]
    for filters in config.channels:
        layers += _block(config, channels, filters)
        channels = filters
    head = fully_connected(config.flattened(), config.hidden, outputs, config.activation, config.dropout)
    return nn.Sequential(*layers, nn.Flatten(), *head)


def _block(config: CnnConfig, channels: int, filters: int) -> list[nn.Module]:
    convolution = nn.Conv2d(channels, filters, config.kernel_size, padding=config.padding)
    layers = [convolution, ACTIVATIONS[config.activation]()]
    return [*layers, nn.MaxPool2d(config.pool)] if config.pool > 1 else layers


CNN = NetworkFamily("cnn", CnnConfig, build_cnn)
