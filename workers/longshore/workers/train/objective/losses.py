"""The default loss of each task, and the check that losses are finite."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch.nn import functional

from longshore.shared.errors import InvalidInput
from longshore.shared.specs.signature import Task
from longshore.workers.train.objective.multilabel import binary_cross_entropy

#: Computes the mean loss of outputs ``(n, outputs)`` and targets ``(n,)``, or ``(n, outputs)`` if a row has several.
Loss = Callable[[torch.Tensor, torch.Tensor], torch.Tensor]


def squared_error(outputs: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
    """Mean squared error of outputs ``(n, 1)`` and targets ``(n,)``, or of both ``(n, outputs)``."""
    return functional.mse_loss(outputs if targets.ndim == 2 else outputs.squeeze(1), targets)


#: Cross entropy takes logits and class indexes. The loss of embeddings is not here, because it needs a temperature.
LOSSES: dict[Task, Loss] = {
    "classification": functional.cross_entropy,
    "regression": squared_error,
    "multilabel": binary_cross_entropy,
}


@dataclass(frozen=True)
class NonFiniteLoss:
    """Describes a loss that is not finite, for the error message."""

    #: Which loss.
    what: str
    #: At that step, and as the spec gives it, at its largest.
    learning_rate: float
    largest_rate: float
    #: Whether gradients are scaled down already.
    clipped: bool
    epoch: int
    #: The last good checkpoint; ``None`` if there is none.
    checkpoint: str | None


def refuse_non_finite_loss(losses: torch.Tensor, description: NonFiniteLoss) -> None:
    """Check the losses of an epoch's first batches. Waits for the device.

    :raises InvalidInput: a loss is infinite or NaN; no later step repairs the weights, and a retry fails the same way.
    """
    if torch.isfinite(losses).all():
        return
    step = int((~torch.isfinite(losses)).nonzero()[0])
    where = f"epoch {description.epoch}, step {step + 1}"
    checkpoint = (
        "there is no checkpoint"
        if description.checkpoint is None
        else f"the last good checkpoint is of {description.checkpoint}"
    )
    raise InvalidInput(
        "learning_rate",
        f"{description.learning_rate}: {description.what} became {float(losses[step])} in {where}; {checkpoint}; "
        f"try {description.largest_rate / 10:g}{'' if description.clipped else ' or clip_grad_norm=1'}, and look for "
        "extreme values in the features and the target",
    )
