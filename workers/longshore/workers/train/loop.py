"""The training loop: PyTorch's own."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import nn

from longshore.workers.train.evaluate import Evaluation
from longshore.workers.train.losses import Loss, refuse_not_finite
from longshore.workers.train.outcome import Check
from longshore.workers.train.rows import TrainingRows

#: Steps between looks at the loss. Each look waits for the device, so it is not done at every step.
_LOOK_EVERY = 200


@dataclass(frozen=True)
class Loop:
    """All that an epoch needs. The rows are standardised already, so that no step does it again."""

    network: nn.Module
    optimizer: torch.optim.Optimizer
    loss: Loss
    learning_rate: float
    rows: TrainingRows
    batch_size: int
    device: torch.device
    #: ``None`` where no row is held out.
    evaluation: Evaluation | None
    check: Check

    def epoch(self, number: int) -> dict[str, float]:
        """Train on each row once, in a new order, then evaluate.

        :param number: of the epoch, from 1; for error messages.
        :returns: ``train_loss``, the mean over the rows as they were trained on, and the held-out rows' metrics.
        :raises InvalidInput: a loss is not finite.
        """
        losses = self._steps(number)
        sizes = torch.full_like(losses, self.batch_size)
        # The last batch may be smaller; every row counts the same.
        sizes[-1] = self.rows.count - self.batch_size * (len(losses) - 1)
        metrics = {"train_loss": float((losses * sizes).sum() / self.rows.count)}
        if self.evaluation is not None:
            metrics |= self.evaluation.run(self.network, self.check)
            held_out = torch.tensor([metrics["val_loss"]])
            refuse_not_finite(held_out, "the loss on held-out rows", self.learning_rate, number)
        return metrics

    def _steps(self, epoch: int) -> torch.Tensor:
        """One step a batch. Gives the batches' losses, on the device: nothing here waits for it but the looks."""
        losses = torch.zeros(-(-self.rows.count // self.batch_size), device=self.device)
        self.network.train()
        for step, (inputs, targets) in enumerate(self.rows.batches(epoch, self.batch_size)):
            self.check()
            loss = self.loss(self.network(inputs), targets)
            self.optimizer.zero_grad()
            torch.autograd.backward(loss)
            self.optimizer.step()
            losses[step] = loss.detach()
            if step % _LOOK_EVERY == 0:
                refuse_not_finite(losses[: step + 1], "the loss", self.learning_rate, epoch)
        refuse_not_finite(losses, "the loss", self.learning_rate, epoch)
        return losses
