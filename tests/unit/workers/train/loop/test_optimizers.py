"""Optimizers are PyTorch's own, with the arguments that were asked for."""

from __future__ import annotations

import typing

import pytest
import torch
from torch import nn

from longshore.shared.errors import InvalidInput
from longshore.shared.specs.jobs import InlineInput
from longshore.shared.specs.optimizers import ARGUMENTS
from longshore.shared.specs.train import TrainSpec
from longshore.shared.vocabulary import Optimizer
from longshore.workers.train.loop.optimizers import make_optimizer

GIVEN = {
    "momentum": 0.7,
    "nesterov": True,
    "betas": (0.8, 0.95),
    "eps": 1e-3,
    "amsgrad": True,
    "alpha": 0.9,
    "centered": True,
}
NAMES = {
    "adam": "Adam",
    "adamw": "AdamW",
    "sgd": "SGD",
    "rmsprop": "RMSprop",
    "adagrad": "Adagrad",
    "nadam": "NAdam",
    "radam": "RAdam",
}


def spec(**options: object) -> TrainSpec:
    data = InlineInput(block="a", offset=0, rows=8)
    return TrainSpec.model_validate({"model": "m", "family": "mlp", "data": data, "target": "y", **options})


def network() -> nn.Linear:
    torch.manual_seed(0)
    return nn.Linear(3, 2)


def steps(module: nn.Linear, optimizer: torch.optim.Optimizer) -> torch.Tensor:
    inputs = torch.arange(12.0).reshape(4, 3) / 10
    for _ in range(5):
        optimizer.zero_grad()
        module(inputs).square().mean().backward()
        optimizer.step()
    return module.weight.detach()


def test_every_optimizer_is_known() -> None:
    assert set(typing.get_args(Optimizer)) == set(ARGUMENTS) == set(NAMES)


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("told", [False, True])
def test_an_optimizer_steps_as_pytorch_does(name: Optimizer, told: bool) -> None:
    given = {key: GIVEN[key] for key in ARGUMENTS[name]} if told else {}
    module, expected = network(), network()
    made = make_optimizer(spec(optimizer=NAMES[name], learning_rate=0.05, weight_decay=0.01, **given), module)
    reference = getattr(torch.optim, NAMES[name])(expected.parameters(), lr=0.05, weight_decay=0.01, **given)
    assert {key: made.defaults[key] for key in given} == given
    torch.testing.assert_close(steps(module, made), steps(expected, reference))


@pytest.mark.parametrize(
    ("name", "argument"), [(name, each) for name, has in ARGUMENTS.items() for each in GIVEN if each not in has]
)
def test_an_argument_that_an_optimizer_does_not_have_is_refused(name: Optimizer, argument: str) -> None:
    with pytest.raises(InvalidInput, match=f"{name} takes none.*{name} has {', '.join(ARGUMENTS[name])}") as refused:
        spec(optimizer=name, **{argument: GIVEN[argument]}).check()
    assert refused.value.field == argument


def test_nesterov_needs_a_momentum() -> None:
    with pytest.raises(InvalidInput, match="needs a momentum") as refused:
        spec(optimizer="sgd", nesterov=True).check()
    assert refused.value.field == "nesterov"
