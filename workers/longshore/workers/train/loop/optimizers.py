"""Optimizers by name."""

from __future__ import annotations

from typing import Any

from torch import nn
from torch.optim import SGD, Adagrad, Adam, AdamW, NAdam, Optimizer, RAdam, RMSprop

from longshore.shared.specs.train import TrainSpec
from longshore.shared.vocabulary import Optimizer as OptimizerName

_CLASSES: dict[OptimizerName, type[Optimizer]] = {
    "adam": Adam,
    "adamw": AdamW,
    "sgd": SGD,
    "rmsprop": RMSprop,
    "adagrad": Adagrad,
    "nadam": NAdam,
    "radam": RAdam,
}

#: One kernel does the whole step; PyTorch has it for these, on CPUs and GPUs.
_FUSED = frozenset({"adam", "adamw", "sgd"})
#: And for these over the shards of FSDP.
_FUSED_SHARDED = frozenset({"adam", "adamw"})


def make_optimizer(spec: TrainSpec, network: nn.Module) -> Optimizer:
    """The optimizer ``spec`` asks for, over the parameters of ``network`` that are not frozen.

    What is not given is PyTorch's default.

    Fused where PyTorch has it. https://docs.pytorch.org/docs/stable/optim.html

    :raises InvalidInput: an argument is given to an optimizer without it.
    """
    spec.check()
    arguments: dict[str, Any] = {"lr": spec.learning_rate, "weight_decay": spec.weight_decay}
    arguments |= spec.optimizer_arguments
    if spec.optimizer in (_FUSED_SHARDED if spec.strategy == "fsdp" else _FUSED):
        arguments["fused"] = True
    return _CLASSES[spec.optimizer](
        [parameter for parameter in network.parameters() if parameter.requires_grad], **arguments
    )
