"""How weights begin, by name, in the networks of all families."""

from __future__ import annotations

import math
import typing

import pyarrow as pa
import pytest
import torch
from torch import nn

from longshore.shared.errors import InvalidInput
from longshore.shared.specs.jobs import InlineInput
from longshore.shared.specs.signature import Feature
from longshore.shared.specs.train import TrainSpec
from longshore.shared.specs.transforms import CategoryTransform, TextTransform
from longshore.shared.specs.validation import build
from longshore.shared.vocabulary import InitName
from longshore.workers.families.lookup import ColumnLookup
from longshore.workers.families.registry import get_family
from longshore.workers.train.data.dataset import Tables
from longshore.workers.train.loop.context import TrainingContext
from longshore.workers.train.loop.initialize import initialize
from longshore.workers.train.loop.pretrained import Pretrained
from longshore.workers.train.loop.result import TrainedModel
from longshore.workers.train.loop.trainer import train

NAMES = [name for name in typing.get_args(InitName) if name != "default"]
#: One network of each family, by what it reads: configuration and width.
FAMILIES: dict[str, tuple[dict[str, object], int]] = {
    "linear": ({}, 6),
    "mlp": ({"hidden": [5, 4]}, 6),
    "cnn": ({"input_shape": [1, 8, 8], "kernel_size": 3, "padding": 1, "norm": "batch"}, 64),
    "rnn": ({"vocabulary": 9, "embedding": 4, "hidden_size": 3, "bidirectional": True}, 6),
    "transformer": ({"vocabulary": 9, "token_types": 2, "d_model": 8, "dim_feedforward": 6}, 6),
}


def spec(**options: object) -> TrainSpec:
    data = InlineInput(block="a", offset=0, rows=8)
    return build(TrainSpec, {"model": "m", "family": "mlp", "data": data, "target": "y", **options})


def made(family: str, **options: object) -> nn.Module:
    config, width = FAMILIES[family]
    found = get_family(family)
    torch.manual_seed(0)
    network = found.build(build(found.config, config), width, 3)
    initialize(network, spec(**options))
    return network


def wide(**options: object) -> nn.Linear:
    """From 400 inputs to 300 outputs."""
    network = nn.Linear(400, 300)
    initialize(network, spec(**options))
    return network


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("name", NAMES)
def test_every_family_begins_so(family: str, name: str) -> None:
    plain, one, again = made(family), made(family, init=name), made(family, init=name)
    other = made(family, init=name, seed=1)
    for (path, before), after, same, differs in zip(
        plain.named_parameters(), *(network.parameters() for network in (one, again, other)), strict=True
    ):
        assert torch.equal(after, same), path
        if before.dim() > 1:
            assert not torch.equal(after, before), path
            assert not torch.equal(after, differs), path
        elif "bias" in path.rpartition(".")[2]:
            assert not after.any(), path
        else:
            assert torch.equal(after, before), path
    for module in one.modules():
        if isinstance(module, nn.Embedding) and module.padding_idx is not None:
            assert not module.weight[module.padding_idx].any()
            assert module.weight[1:].any()


@pytest.mark.parametrize(
    ("options", "std", "bound"),
    [
        ({"init": "xavier_uniform_"}, math.sqrt(2 / 700), math.sqrt(6 / 700)),
        ({"init": "xavier_normal"}, math.sqrt(2 / 700), None),
        ({"init": "Kaiming_Uniform"}, math.sqrt(2 / 400), math.sqrt(6 / 400)),
        ({"init": "kaiming_normal_"}, math.sqrt(2 / 400), None),
        ({"init": "normal"}, 0.02, None),
        ({"init": "normal", "init_std": 0.5}, 0.5, None),
        # The deviation of a normal distribution that is cut at two of its own.
        ({"init": "trunc_normal", "init_std": 0.5}, 0.5 * 0.8796, 1.0),
    ],
)
def test_the_spread_is_that_of_its_source(options: dict[str, object], std: float, bound: float | None) -> None:
    weight = wide(**options).weight.detach()
    assert weight.mean().abs() < 0.01 * std * 3
    assert weight.std().item() == pytest.approx(std, rel=0.01)
    assert bound is None or 0.99 * bound < weight.abs().max() <= bound


def test_orthogonal_rows_are() -> None:
    weight = wide(init="orthogonal").weight.detach()
    torch.testing.assert_close(weight @ weight.T, torch.eye(300), atol=1e-5, rtol=0)


def test_norms_of_two_dimensions_and_shared_weights() -> None:
    norm, first, second = nn.LayerNorm([2, 3]), nn.Linear(3, 3), nn.Linear(3, 3)
    second.weight = first.weight
    initialize(nn.Sequential(norm, first, second), spec(init="normal", init_std=1.0))
    assert torch.equal(norm.weight, torch.ones(2, 3))
    alone = nn.Linear(3, 3)
    initialize(alone, spec(init="normal", init_std=1.0))
    assert torch.equal(first.weight, alone.weight), "drawn once"


def test_the_global_generator_and_the_default_stay() -> None:
    before = torch.get_rng_state()
    network = nn.Linear(3, 2)
    weights = network.weight.clone()
    drawn = torch.get_rng_state()
    initialize(network, spec())
    assert torch.equal(network.weight, weights)
    initialize(network, spec(init="orthogonal"))
    assert torch.equal(torch.get_rng_state(), drawn)
    torch.set_rng_state(before)


def run(asked: TrainSpec, pretrained: Pretrained | None = None) -> TrainedModel:
    table = pa.table({"a": [1.0, 2.0, 3.0, 5.0], "b": [4.0, 1.0, 0.0, 2.0], "y": [1.0, 0.0, 2.0, 4.0]})
    return train(asked, Tables(table), TrainingContext(torch.device("cpu"), pretrained=pretrained or Pretrained()))


def test_a_training_begins_so_and_a_base_comes_after() -> None:
    still = {"validation": 0, "epochs": 1, "learning_rate": 1e-30, "optimizer": "sgd", "config": {"hidden": [3]}}
    asked = spec(init="orthogonal", standardize=False, **still)
    weights = run(asked).module.state_dict()
    torch.testing.assert_close(weights["network.0.weight"].T @ weights["network.0.weight"], torch.eye(2))
    assert weights["network.0.bias"].abs().max() < 1e-20
    base = {"network.0.weight": torch.full((3, 2), 7.0), "network.2.weight": torch.zeros(9, 9)}
    based = run(asked, Pretrained(base)).module.state_dict()
    assert torch.equal(based["network.0.weight"], base["network.0.weight"])
    torch.testing.assert_close(based["network.2.weight"], weights["network.2.weight"])


def test_what_is_no_init_is_refused() -> None:
    with pytest.raises(InvalidInput, match=r"init: 'glorot': Input should be 'default', 'xavier_uniform'"):
        spec(init="glorot")
    with pytest.raises(InvalidInput, match=r"init_std: 0\.1: it is of init normal or trunc_normal, not orthogonal"):
        spec(init="orthogonal", init_std=0.1).check()
    with pytest.raises(InvalidInput, match=r"init_std: -1"):
        spec(init="normal", init_std=-1)


@pytest.mark.parametrize("init", ["default", "normal"])
def test_an_unknown_category_and_no_word_stay_zero(init: str) -> None:
    city = CategoryTransform(categories=("a", "b"), encoding="embedding", width=3)
    words = TextTransform(length=2, buckets=16, width=4)
    features = (
        Feature(name="city", kind="category", transform=city),
        Feature(name="note", kind="text", transform=words),
    )
    lookup = ColumnLookup(features)
    initialize(lookup, spec(init=init))
    rows = torch.tensor([[0.0, 0.0, 0.0], [1.0, 3.0, 0.0]])
    assert lookup(rows)[0].tolist() == [0.0] * 7
    assert (lookup(rows)[1] != 0).all()
