"""The loss functions of a training, from PyTorch."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace

import torch
from torch.nn import functional

from longshore.shared.specs.class_weights import balanced, by_class
from longshore.shared.specs.losses import DEFAULTS, check_loss
from longshore.shared.specs.signature import Task
from longshore.shared.specs.train import TrainSpec
from longshore.shared.vocabulary import LossName
from longshore.workers.train.data.dataset import TrainingData
from longshore.workers.train.data.stream.dataset import StreamedData
from longshore.workers.train.objective.contrastive import SupervisedContrastive
from longshore.workers.train.objective.losses import LOSSES, Loss

#: https://docs.pytorch.org/docs/stable/generated/torch.nn.L1Loss.html, .MSELoss, .SmoothL1Loss (Girshick, "Fast R-CNN",
#: 2015, https://arxiv.org/abs/1504.08083) and .HuberLoss (Huber, "Robust estimation of a location parameter", 1964,
#: https://doi.org/10.1214/aoms/1177703732).
_REGRESSION_LOSSES: dict[LossName, Callable[..., torch.Tensor]] = {
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
        """See :data:`~longshore.workers.train.objective.losses.Loss`."""
        values = outputs if targets.ndim == 2 else outputs.squeeze(1)
        return _REGRESSION_LOSSES[self.name](values, targets, **self.arguments)


@dataclass(frozen=True)
class CrossEntropy:
    """Mean cross entropy of logits ``(n, classes)`` and class indexes ``(n,)``; the weighted mean if there are weights.

    https://docs.pytorch.org/docs/stable/generated/torch.nn.CrossEntropyLoss.html; label smoothing: Szegedy et al.,
    "Rethinking the inception architecture for computer vision", 2015, https://arxiv.org/abs/1512.00567.
    """

    label_smoothing: float = 0.0
    #: float32 ``(classes,)``, on the device; ``None`` if every row counts the same.
    weight: torch.Tensor | None = None

    def __call__(self, outputs: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
        """See :data:`~longshore.workers.train.objective.losses.Loss`."""
        # 16-bit logits cannot be combined with float32 weights.
        logits = outputs if self.weight is None else outputs.float()
        return functional.cross_entropy(logits, targets, self.weight, label_smoothing=self.label_smoothing)


def make_loss(spec: TrainSpec, task: Task) -> Loss:
    """The loss of ``spec`` for measuring: every row counts the same.

    :param task: the task of the data.
    :raises InvalidInput: the loss is for another task, or does not take one of the arguments.
    """
    check_loss(spec.loss, spec.loss_arguments, task)
    if task == "embedding":
        return SupervisedContrastive(spec.contrast_temperature)
    name = spec.loss or DEFAULTS.get(task)
    if name is None:
        return LOSSES[task]
    if name == "cross_entropy":
        return CrossEntropy(spec.label_smoothing)
    arguments = {"beta": spec.beta, "delta": spec.delta}
    return NumbersLoss(name, {key: value for key, value in arguments.items() if value is not None})


def make_training_loss(spec: TrainSpec, data: TrainingData | StreamedData, device: torch.device) -> Loss:
    """The loss of ``spec`` for training: that of :func:`make_loss`, with class weights.

    :raises InvalidInput: as for :func:`make_loss`, or a weight names an unknown label.
    """
    loss = make_loss(spec, data.signature.task)
    if spec.class_weights is None or not isinstance(loss, CrossEntropy):
        return loss
    class_weights, labels = spec.class_weights, data.signature.labels or ()
    weights = balanced(data.class_counts) if class_weights == "balanced" else by_class(class_weights, labels)
    return replace(loss, weight=torch.tensor(weights, device=device))
