"""Which queue a job goes to."""

from __future__ import annotations

from functools import cached_property
from typing import Literal

from longshore.shared.ledger.workers import Workers


class QueueChoice:
    """Chooses for the jobs of one call; asks once which workers are alive."""

    def __init__(self, fleet: Workers) -> None:
        self._fleet = fleet

    def choose(self, device: Literal["auto", "cpu", "gpu"]) -> str:
        """``auto`` is the GPU workers' queue while one of them is alive. They also take from the CPU workers' queue."""
        if device != "auto":
            return device
        return "gpu" if "gpu" in self._alive else "cpu"

    @cached_property
    def _alive(self) -> frozenset[str]:
        return self._fleet.live_queues()
