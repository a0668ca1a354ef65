"""``cnn``: a convolutional network for rows that are flattened images."""

from __future__ import annotations

from torch import nn

from longshore.shared.specs.families import CnnConfig
from longshore.workers.families.base import NetworkFamily
from longshore.workers.families.layers import ACTIVATIONS, BatchNorm2d, fully_connected


def build_cnn(config: CnnConfig, width: int, outputs: int) -> nn.Module:
    """``(n, C*H*W)``, read as images ``(n, C, H, W)``, to ``(n, outputs)``.

    Blocks of convolution, norm, activation and max-pooling are followed by fully connected layers. These take the
    pixels of all channels, or with ``global_pool`` the mean of each channel (Lin et al., "Network in network", 2013,
    https://arxiv.org/abs/1312.4400). The defaults on (3, 32, 32) are the network of
    https://docs.pytorch.org/tutorials/beginner/blitz/cifar10_tutorial.html, after LeCun et al., "Gradient-based
    learning applied to document recognition", 1998, https://doi.org/10.1109/5.726791. Batch norm is between
    convolution and activation, as in https://arxiv.org/abs/1502.03167, and replaces the bias.

    :raises InvalidInput: C*H*W is not ``width``, a kernel or pooling window is larger than its input, or the number of
        kernels is not the number of blocks.
    """
    config.check_width(width)
    channels = config.input_shape[0]
    layers: list[nn.Module] = [nn.Unflatten(1, config.input_shape)]
    for filters, (kernel, padding) in zip(config.channels, config.kernels, strict=True):
        layers += _block(config, nn.Conv2d(channels, filters, kernel, padding=padding, bias=config.norm == "none"))
        channels = filters
    if config.global_pool:
        layers.append(nn.AdaptiveAvgPool2d(1))
    head = fully_connected(config.flattened(), config.hidden, outputs, config.activation, config.dropout)
    return nn.Sequential(*layers, nn.Flatten(), *head)


def _block(config: CnnConfig, convolution: nn.Conv2d) -> list[nn.Module]:
    layers: list[nn.Module] = [convolution]
    if config.norm == "batch":
        layers.append(BatchNorm2d(convolution.out_channels))
    layers.append(ACTIVATIONS[config.activation]())
    return [*layers, nn.MaxPool2d(config.pool)] if config.pool > 1 else layers


CNN = NetworkFamily("cnn", CnnConfig, build_cnn, channels_last=True)
