"""Optimizers by name."""

from __future__ import annotations

from torch import nn
from torch.optim import SGD, Adam, AdamW, Optimizer, RMSprop

from longshore.shared.jobs import TrainSpec


def make_optimizer(spec: TrainSpec, network: nn.Module) -> Optimizer:
    """The optimizer ``spec`` asks for, over the parameters of ``network``.

    Fused where PyTorch has it: one kernel for the whole step. https://docs.pytorch.org/docs/stable/optim.html

    :raises InvalidInput: a momentum is given to an optimizer without one.
    """
    parameters = list(network.parameters())
    rate, decay = spec.learning_rate, spec.weight_decay
    spec.check()
    if spec.optimizer == "adam":
        return Adam(parameters, lr=rate, weight_decay=decay, fused=True)
    if spec.optimizer == "adamw":
        return AdamW(parameters, lr=rate, weight_decay=decay, fused=True)
    if spec.optimizer == "sgd":
        return SGD(parameters, lr=rate, weight_decay=decay, momentum=spec.momentum, fused=True)
    return RMSprop(parameters, lr=rate, weight_decay=decay, momentum=spec.momentum)
