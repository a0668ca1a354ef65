"""The built-in families build the networks they are documented to be."""

from __future__ import annotations

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn
from torch.nn import functional

from longshore.shared.errors import InvalidInput
from longshore.shared.specs.families import CnnConfig, LinearConfig, MlpConfig
from longshore.shared.specs.validation import build
from longshore.workers.families.cnn import CNN
from longshore.workers.families.layers import BatchNorm2d
from longshore.workers.families.linear import LINEAR
from longshore.workers.families.mlp import MLP


def test_linear_is_one_layer() -> None:
    network = LINEAR.build(LinearConfig(bias=False), 5, 3)
    assert isinstance(network, nn.Linear)
    assert [(name, tuple(weights.shape)) for name, weights in network.named_parameters()] == [("weight", (3, 5))]


def test_the_default_mlp_is_linear_relu_linear() -> None:
    network = MLP.build(MlpConfig(), 784, 10)
    assert [type(layer) for layer in network.children()] == [nn.Linear, nn.ReLU, nn.Linear]
    assert [tuple(weights.shape) for weights in network.parameters()] == [(256, 784), (256,), (10, 256), (10,)]


def test_an_mlp_without_hidden_layers_is_linear() -> None:
    assert [type(layer) for layer in MLP.build(MlpConfig(hidden=()), 4, 2).children()] == [nn.Linear]


def test_dropout_follows_each_hidden_layer() -> None:
    network = MLP.build(MlpConfig(hidden=(8, 4), activation="gelu", dropout=0.5), 3, 2)
    block = [nn.Linear, nn.GELU, nn.Dropout]
    assert [type(layer) for layer in network.children()] == [*block, *block, nn.Linear]


class CifarTutorial(nn.Module):
    """The network of PyTorch's CIFAR-10 tutorial, as its text describes it."""

    def __init__(self) -> None:
        super().__init__()
        self.conv1, self.conv2 = nn.Conv2d(3, 6, 5), nn.Conv2d(6, 16, 5)
        self.fc1, self.fc2, self.fc3 = nn.Linear(16 * 5 * 5, 120), nn.Linear(120, 84), nn.Linear(84, 10)

    def forward(self, rows: torch.Tensor) -> torch.Tensor:
        for convolution in (self.conv1, self.conv2):
            rows = functional.max_pool2d(functional.relu(convolution(rows)), 2)
        rows = functional.relu(self.fc1(rows.flatten(1)))
        logits: torch.Tensor = self.fc3(functional.relu(self.fc2(rows)))
        return logits


def test_the_default_cnn_is_the_cifar_tutorial_s() -> None:
    tutorial = CifarTutorial()
    network = CNN.build(CnnConfig(input_shape=(3, 32, 32)), 3072, 10)
    network.load_state_dict(dict(zip(network.state_dict(), tutorial.state_dict().values(), strict=True)))
    images = torch.rand(4, 3, 32, 32)
    assert torch.equal(network(images.flatten(1)), tutorial(images))


@settings(max_examples=60, deadline=None)
@given(
    shape=st.tuples(st.integers(1, 3), st.integers(1, 14), st.integers(1, 14)),
    channels=st.lists(st.integers(1, 4), min_size=1, max_size=3).map(tuple),
    kernel_size=st.integers(1, 6),
    padding=st.integers(0, 3),
    pool=st.integers(1, 4),
)
def test_a_cnn_runs_on_its_shape_or_is_refused(
    shape: tuple[int, int, int], channels: tuple[int, ...], kernel_size: int, padding: int, pool: int
) -> None:
    config = CnnConfig(
        input_shape=shape, channels=channels, kernel_size=kernel_size, padding=padding, pool=pool, hidden=(3,)
    )
    width = math.prod(shape)
    blocks = nn.Sequential(*[nn.Conv2d(1, 1, kernel_size, padding=padding), nn.MaxPool2d(pool)] * len(channels))
    try:
        blocks(torch.zeros(1, 1, *shape[1:]))
    except RuntimeError:
        with pytest.raises(InvalidInput, match=r"config\.(kernel_size|pool): .* pixels"):
            CNN.build(config, width, 2)
    else:
        assert CNN.build(config, width, 2)(torch.zeros(2, width)).shape == (2, 2)


@pytest.mark.parametrize(
    ("config", "width", "field", "numbers"),
    [
        (CnnConfig(input_shape=(1, 8, 8)), 63, "config.input_shape", ("64", "63")),
        (CnnConfig(input_shape=(1, 3, 9)), 27, "config.kernel_size", ("5", "3 pixels", "block 1 of 2")),
        (CnnConfig(input_shape=(1, 8, 8)), 64, "config.kernel_size", ("5", "2 pixels", "block 2 of 2")),
        (CnnConfig(input_shape=(1, 8, 8), kernel_size=7, pool=3), 64, "config.pool", ("3", "2 pixels", "block 1 of 2")),
    ],
)
def test_a_cnn_that_does_not_fit_is_refused_with_its_numbers(
    config: CnnConfig, width: int, field: str, numbers: tuple[str, ...]
) -> None:
    with pytest.raises(InvalidInput) as refused:
        CNN.build(config, width, 2)
    assert refused.value.field == field
    assert all(number in refused.value.reason for number in numbers)


#: As versions that were trained before these options have it in their manifests.
OLD = {
    **{"input_shape": [3, 8, 8], "channels": [4, 6], "kernel_size": 3, "padding": 1, "pool": 2},
    **{"hidden": [5], "activation": "relu", "dropout": 0.25},
}


def test_a_cnn_of_an_old_configuration_is_what_it_was() -> None:
    config = CnnConfig.model_validate(OLD)
    assert config.model_dump(mode="json") == OLD
    torch.manual_seed(3)
    network = CNN.build(config, 192, 2)
    torch.manual_seed(3)
    before = nn.Sequential(
        *(nn.Unflatten(1, (3, 8, 8)), nn.Conv2d(3, 4, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2)),
        *(nn.Conv2d(4, 6, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2), nn.Flatten()),
        *(nn.Linear(24, 5), nn.ReLU(), nn.Dropout(0.25), nn.Linear(5, 2)),
    )
    assert list(network.state_dict()) == list(before.state_dict())
    assert all(map(torch.equal, network.state_dict().values(), before.state_dict().values()))


def test_every_block_of_a_cnn_can_be_told() -> None:
    given = {"norm": "batch", "kernel_size": [5, 3], "padding": [2, 0], "global_pool": True}
    config = CnnConfig.model_validate({**OLD, **given, "activation": "silu", "dropout": 0.0})
    assert CnnConfig.model_validate(config.model_dump(mode="json")) == config
    assert config.model_dump(mode="json").items() >= given.items()
    network = CNN.build(config, 192, 2)
    block = [nn.Conv2d, BatchNorm2d, nn.SiLU, nn.MaxPool2d]
    head = [nn.AdaptiveAvgPool2d, nn.Flatten, nn.Linear, nn.SiLU, nn.Linear]
    assert isinstance(network, nn.Sequential)
    assert [type(layer) for layer in network] == [nn.Unflatten, *block, *block, *head]
    convolutions = [layer for layer in network if isinstance(layer, nn.Conv2d)]
    assert [(layer.kernel_size, layer.padding, layer.bias) for layer in convolutions] == [
        ((5, 5), (2, 2), None),
        ((3, 3), (0, 0), None),
    ]
    images = torch.rand(4, 3, 8, 8)
    blocks = nn.Sequential(*list(network)[1:9])
    head_of = nn.Sequential(*list(network)[-3:])
    network.eval()
    torch.testing.assert_close(network(images.flatten(1)), head_of(blocks(images).mean(dim=(2, 3))))


@pytest.mark.parametrize("name", ["kernel_size", "padding"])
def test_as_many_kernels_as_blocks(name: str) -> None:
    config = CnnConfig.model_validate({**OLD, name: [1, 1, 1]})
    with pytest.raises(InvalidInput, match=rf"config\.{name}: \[1, 1, 1\]: 3 numbers for 2 blocks"):
        CNN.build(config, 192, 2)
    with pytest.raises(InvalidInput, match=rf"config\.{name}: 99 \(at {name}\.each\.1\): Input should be less than or"):
        build(CnnConfig, {**OLD, name: [1, 99]}, "config.")


def test_batch_norm_is_pytorch_s_but_for_a_single_value() -> None:
    ours, theirs = BatchNorm2d(3), nn.BatchNorm2d(3)
    images = torch.randn(5, 3, 2, 2)
    for rows in (images, images[:1]):
        assert torch.equal(ours(rows), theirs(rows))
    assert list(ours.state_dict()) == list(theirs.state_dict())
    assert all(map(torch.equal, ours.state_dict().values(), theirs.state_dict().values()))
    one = images[:1, :, :1, :1]
    before = {name: tensor.clone() for name, tensor in ours.state_dict().items()}
    with pytest.raises(ValueError, match="more than 1 value per channel"):
        theirs(one)
    assert torch.equal(ours(one), theirs.eval()(one))
    assert all(torch.equal(tensor, before[name]) for name, tensor in ours.state_dict().items())


def test_another_family_s_configuration_is_refused() -> None:
    with pytest.raises(InvalidInput, match="takes a MlpConfig, not a LinearConfig"):
        MLP.build(LinearConfig(), 3, 2)
