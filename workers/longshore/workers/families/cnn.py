"""``cnn``: a convolutional network over rows that are flattened images."""

from __future__ import annotations

import math

from torch import nn

from longshore.shared.errors import InvalidInput
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
    pixels = math.prod(config.input_shape)
    if pixels != width:
        shape = " x ".join(map(str, config.input_shape))
        raise InvalidInput(
            "config.input_shape", f"{shape} is {pixels} numbers a row, but the features give {width}; make them equal"
        )
    channels, height, columns = config.input_shape
    layers: list[nn.Module] = [nn.Unflatten(1, config.input_shape)]
    for block, filters in enumerate(config.channels):
        layers += _block(config, channels, filters)
        height, columns = (_shrunk(config, side, block) for side in (height, columns))
        channels = filters
    flattened = channels * height * columns
    head = fully_connected(flattened, config.hidden, outputs, config.activation, config.dropout)
    return nn.Sequential(*layers, nn.Flatten(), *head)


def _block(config: CnnConfig, channels: int, filters: int) -> list[nn.Module]:
    convolution = nn.Conv2d(channels, filters, config.kernel_size, padding=config.padding)
    layers = [convolution, ACTIVATIONS[config.activation]()]
    return [*layers, nn.MaxPool2d(config.pool)] if config.pool > 1 else layers


def _shrunk(config: CnnConfig, side: int, block: int) -> int:
    """Pixels that one block leaves of a side of the image."""
    padded = side + 2 * config.padding
    if padded < config.kernel_size:
        raise InvalidInput(
            "config.kernel_size",
            f"{config.kernel_size} is larger than the image of {padded} pixels (padding included) before block "
            f"{block + 1} of {len(config.channels)}; use a smaller kernel, more padding or fewer channels",
        )
    convolved = padded - config.kernel_size + 1
    if convolved < config.pool:
        raise InvalidInput(
            "config.pool",
            f"{config.pool} is larger than the image of {convolved} pixels in block {block + 1} of "
            f"{len(config.channels)}; use a smaller window or fewer channels",
        )
    return convolved // config.pool


CNN = NetworkFamily("cnn", CnnConfig, build_cnn)
