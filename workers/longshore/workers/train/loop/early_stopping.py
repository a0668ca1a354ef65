"""Stops a training that no longer improves, and restores the weights of its best epoch.

Prechelt, "Early stopping - but when?", 1998, https://doi.org/10.1007/3-540-49430-8_3
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import nn

from longshore.shared.errors import InvalidInput
from longshore.shared.specs.search import lower_is_better
from longshore.workers.train.checkpoint.state_file import copied
from longshore.workers.train.strategy.base import Strategy


class EarlyStopping:
    """Tracks the best epoch.

    :param patience: epochs without improvement after which the training stops.
    :param monitor: the metric that is compared.
    """

    def __init__(self, patience: int, monitor: str) -> None:
        self._patience = patience
        self._monitor = monitor
        self._sign = -1 if lower_is_better(monitor) else 1
        self._best: float | None = None
        self._weights: dict[str, torch.Tensor] = {}
        self.epoch = 0
        self.metrics: dict[str, float] = {}
        #: Whether the training has stopped.
        self.stopped = False

    def update(self, epoch: int, metrics: Mapping[str, float], network: nn.Module) -> bool:
        """Record the metrics of an epoch. Returns whether the training stops.

        :raises InvalidInput: the monitored metric is not measured.
        """
        if self._monitor not in metrics:
            raise InvalidInput("monitor", f"{self._monitor!r} is not measured; there are {', '.join(sorted(metrics))}")
        value = self._sign * metrics[self._monitor]
        if self._best is None or value > self._best:
            self._best, self.epoch, self.metrics = value, epoch, dict(metrics)
            self._weights = {name: tensor.detach().clone() for name, tensor in network.state_dict().items()}
        self.stopped = epoch - self.epoch >= self._patience
        return self.stopped

    def restore(self, network: nn.Module) -> None:
        """Load the weights of the best epoch into the network."""
        network.load_state_dict(self._weights)

    def notes(self, last: int, epochs: int) -> tuple[str, ...]:
        """Notes for the job's owner.

        :param last: the last epoch that was trained, of the ``epochs`` that were asked for.
        """
        best = f"the version has the weights of epoch {self.epoch} of {last}, whose {self._monitor} was the best"
        if not self.stopped or last >= epochs:
            return (best,)
        without = f"{self._patience} epochs without a better {self._monitor} (early_stopping)"
        return (f"stopped early, after epoch {last} of {epochs}: {without}", best)

    def state_dict(self, strategy: Strategy) -> dict[str, Any]:
        """The state for a checkpoint, gathered from every device."""
        return {
            **{"best": self._best, "epoch": self.epoch, "metrics": self.metrics, "stopped": self.stopped},
            "weights": copied(dict(strategy.full_state_dict(self._weights))),
        }

    def load_state_dict(self, state: Mapping[str, Any], strategy: Strategy, network: nn.Module) -> None:
        """Restore a state of :meth:`state_dict`."""
        self._best, self.epoch = state["best"], state["epoch"]
        self.metrics, self.stopped = dict(state["metrics"]), state["stopped"]
        self._weights = dict(strategy.local_state_dict(network, state["weights"]))
