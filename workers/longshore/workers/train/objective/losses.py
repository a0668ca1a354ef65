"""The loss of each task, and what is done when it is no longer a number."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch.nn import functional

from longshore.shared.errors import InvalidInput
from longshore.shared.specs.signature import Task
from longshore.workers.train.objective.multilabel import binary_cross_entropy

#: From outputs ``(n, outputs)`` and targets ``(n,)`` (of several numbers a row ``(n, outputs)``) to their mean loss.
Loss = Callable[[torch.Tensor, torch.Tensor], torch.Tensor]


def squared_error(outputs: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
    """Mean squared error of outputs ``(n, 1)`` and targets ``(n,)``, or of both ``(n, outputs)``."""
    return functional.mse_loss(outputs if targets.ndim == 2 else outputs.squeeze(1), targets)


#: Cross entropy takes logits and class numbers. That of embeddings is told a temperature, and is not here.
LOSSES: dict[Task, Loss] = {
    "classification": functional.cross_entropy,
    "regression": squared_error,
    "multilabel": binary_cross_entropy,
}


@dataclass(frozen=True)
class NonFiniteLoss:
    """What is said of a loss that is no longer a number."""

    #: Which loss.
    what: str
    learning_rate: float
    epoch: int
    #: The last good checkpoint; ``None`` where there is none.
    checkpoint: str | None


def refuse_non_finite_loss(losses: torch.Tensor, said: NonFiniteLoss) -> None:
    """Look at the losses of an epoch's first batches. Waits for the device.

    :raises InvalidInput: one is infinite or NaN; no later step mends the weights, and the same spec ends the same way.
    """
    if torch.isfinite(losses).all():
        return
    step = int((~torch.isfinite(losses)).nonzero()[0])
    where = f"epoch {said.epoch}, step {step + 1}"
    kept = "there is no checkpoint" if said.checkpoint is None else f"the last good checkpoint is of {said.checkpoint}"
    raise InvalidInput(
        "learning_rate",
        f"{said.learning_rate}: {said.what} became {float(losses[step])} in {where}; {kept}; "
        "lower it, or look for extreme values in the features and the target",
    )
