"""Learning rate schedules: PyTorch's schedulers, after an optional warm-up.

https://docs.pytorch.org/docs/stable/optim.html#how-to-adjust-learning-rate
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from torch.optim import Optimizer
from torch.optim.lr_scheduler import CosineAnnealingLR, LinearLR, LRScheduler, OneCycleLR, ReduceLROnPlateau, StepLR

from longshore.shared.specs.train import TrainSpec


class LRSchedule:
    """Sets the learning rate of an optimizer, by step and by epoch.

    :param steps: optimizer steps of the whole training.
    """

    def __init__(self, spec: TrainSpec, optimizer: Optimizer, steps: int) -> None:
        self._optimizer = optimizer
        self._warmup = spec.warmup_steps
        self._rate = spec.learning_rate
        self._done = 0
        remaining = max(steps - spec.warmup_steps, 1)
        self._by_step: LRScheduler | None = None
        self._by_epoch: StepLR | ReduceLROnPlateau | None = None
        if spec.schedule == "cosine":
            self._by_step = CosineAnnealingLR(optimizer, remaining)
        elif spec.schedule == "linear":
            self._by_step = LinearLR(optimizer, 1.0, 0.0, remaining)
        elif spec.schedule == "one_cycle":
            self._by_step = OneCycleLR(optimizer, spec.learning_rate, max(steps, 2))
        elif spec.schedule == "step":
            self._by_epoch = StepLR(optimizer, spec.step_size, spec.gamma)
        elif spec.schedule == "plateau":
            self._by_epoch = ReduceLROnPlateau(optimizer, factor=spec.gamma, patience=spec.patience)
        if self._warmup:
            self._set(self._rate / self._warmup)

    def step(self) -> None:
        """Advance after an optimizer step."""
        self._done += 1
        if self._done < self._warmup:
            self._set(self._rate * (self._done + 1) / self._warmup)
        elif self._by_step is not None and self._done > self._warmup:
            self._by_step.step()

    def epoch(self, metrics: Mapping[str, float]) -> None:
        """Advance after an epoch."""
        if self._by_epoch is None or self._done < self._warmup:
            return
        if isinstance(self._by_epoch, ReduceLROnPlateau):
            self._by_epoch.step(metrics.get("val_loss", metrics["train_loss"]))
        else:
            self._by_epoch.step()

    def state_dict(self) -> dict[str, Any]:
        """The state for a checkpoint."""
        inner = self._by_step or self._by_epoch
        return {"done": self._done, "inner": None if inner is None else inner.state_dict()}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Restore a state of :meth:`state_dict`. The optimizer restores the rate itself."""
        self._done = state["done"]
        inner = self._by_step or self._by_epoch
        if inner is not None:
            inner.load_state_dict(state["inner"])

    def _set(self, rate: float) -> None:
        for group in self._optimizer.param_groups:
            group["lr"] = rate
