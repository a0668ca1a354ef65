"""Convolutions laid out with channels last."""

from __future__ import annotations

import copy

import torch
from torch import nn

from longshore.shared.specs.families import CnnConfig, FamilyConfig
from longshore.workers.families.base import NetworkFamily
from longshore.workers.families.cnn import CNN
from longshore.workers.families.layout import channels_last

IMAGES = torch.randn(7, 3 * 16 * 16, generator=torch.Generator().manual_seed(1))


class Flat(nn.Module):
    """Reads what a convolution put out as rows, without a copy."""

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        return images.view(len(images), -1)


def build_flat(config: FamilyConfig, width: int, outputs: int) -> nn.Module:
    return nn.Sequential(nn.Unflatten(1, (3, 16, 16)), nn.Conv2d(3, 4, 3), Flat(), nn.Linear(4 * 14 * 14, outputs))


def test_outputs_and_gradients_stay_what_they_were() -> None:
    torch.manual_seed(1)
    plain = CNN.build(CnnConfig(input_shape=(3, 16, 16), kernel_size=3, norm="batch"), 768, 4)
    laid_out = copy.deepcopy(plain)
    channels_last(laid_out, CNN)
    convolutions = [layer for layer in laid_out.modules() if isinstance(layer, nn.Conv2d)]
    assert len(convolutions) == 2
    assert all(layer.weight.is_contiguous(memory_format=torch.channels_last) for layer in convolutions)
    for network in (plain, laid_out):
        torch.autograd.backward(network(IMAGES).square().sum())
    torch.testing.assert_close(laid_out(IMAGES), plain(IMAGES))
    for mine, other in zip(laid_out.parameters(), plain.parameters(), strict=True):
        torch.testing.assert_close(mine.grad, other.grad, rtol=1e-4, atol=1e-4)


def test_a_family_that_did_not_ask_for_it_is_left_alone() -> None:
    family = NetworkFamily("flat", FamilyConfig, build_flat)
    network = family.build(FamilyConfig(), 768, 4)
    channels_last(network, family)
    assert network(IMAGES).shape == (7, 4)  # its view would fail
