"""The loss that a training asks for, of PyTorch's."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import torch
from torch.nn import functional

from longshore.shared.losses import DEFAULTS, LossName, check_loss
from longshore.shared.signature import Task
from longshore.shared.training import TrainSpec
from longshore.workers.train.losses import LOSSES, Loss

#: https://docs.pytorch.org/docs/stable/generated/torch.nn.L1Loss.html, .MSELoss, .SmoothL1Loss (Girshick, "Fast R-CNN",
#: 2015, https://arxiv.org/abs/1504.08083) and .HuberLoss (Huber, "Robust estimation of a location parameter", 1964,
#: https://doi.org/10.1214/aoms/1177703732).
_OF_NUMBERS: dict[LossName, Callable[..., torch.Tensor]] = {
    "mse": functional.mse_loss,
    "l1": functional.l1_loss,
    "smooth_l1": functional.smooth_l1_loss,
    "huber": functional.huber_loss,
}


@dataclass(frozen=True)
class NumbersLoss:
    """Mean loss of outputs ``(n, 1)`` and targets ``(n,)``, or of both ``(n, outputs)``."""

    name: LossName
    arguments: Mapping[str, float]

    def __call__(self, outputs: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
        """See :data:`~longshore.workers.train.losses.Loss`."""
        given = outputs if targets.ndim == 2 else outputs.squeeze(1)
        return _OF_NUMBERS[self.name](given, targets, **self.arguments)


@dataclass(frozen=True)
class CrossEntropy:
    """Mean cross entropy of logits ``(n, classes)`` and class numbers ``(n,)``.

    https://docs.pytorch.org/docs/stable/generated/torch.nn.CrossEntropyLoss.html; label smoothing: Szegedy et al.,
    "Rethinking the inception architecture for computer vision", 2015, https://arxiv.org/abs/1512.00567.
    """

    label_smoothing: float = 0.0

    def __call__(self, outputs: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
        """See :data:`~longshore.workers.train.losses.Loss`."""
        return functional.cross_entropy(outputs, targets, label_smoothing=self.label_smoothing)


def make_loss(spec: TrainSpec, task: Task) -> Loss:
    """The loss that ``spec`` asks for, to train with and to measure with.

    :param task: of the data.
    :raises InvalidInput: it is for another task, or does not have an argument that is given.
    """
    check_loss(spec.loss, spec.loss_arguments, task)
    if spec.loss is None and not spec.loss_arguments:
        return LOSSES[task]
    name = spec.loss or DEFAULTS[task]
    return CrossEntropy(**spec.loss_arguments) if name == "cross_entropy" else NumbersLoss(name, spec.loss_arguments)
