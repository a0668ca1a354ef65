"""Chooses the queue of a job."""

from __future__ import annotations

from functools import cached_property
from typing import Literal

from longshore.shared.ledger.workers import Workers


class QueueChoice:
    """Chooses the queues for the jobs of one call. Looks up the live workers once."""

    def __init__(self, fleet: Workers) -> None:
        self._fleet = fleet

    def choose(self, device: Literal["auto", "cpu", "gpu"]) -> str:
        """Return the queue: for ``auto`` that of the GPU workers if one is alive.

        They also take from the queue of the CPU workers.
        """
        if device != "auto":
            return device
        return "gpu" if "gpu" in self._alive else "cpu"

    @cached_property
    def _alive(self) -> frozenset[str]:
        return self._fleet.live_queues()
