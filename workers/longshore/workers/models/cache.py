"""Versions that stay loaded on the device, the least recently used one leaving first."""

from __future__ import annotations

import logging
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass

import torch

from longshore.workers.process.gc_tuning import keep, let_go
from longshore.workers.runtimes.base import Execution, Runtime

log = logging.getLogger("longshore.worker")


@dataclass(frozen=True)
class Resident:
    """What is loaded once: a version, as it is computed."""

    digest: str
    execution: Execution


class Residents:
    """Loaded versions.

    :param capacity: bytes they may take together. A single larger one is loaded all the same, alone.
    :param load: loads a version onto the device.
    """

    def __init__(self, capacity: int, load: Callable[[Resident], Runtime]) -> None:
        self._capacity = capacity
        self._load = load
        self._loaded: OrderedDict[Resident, Runtime] = OrderedDict()

    def get(self, wanted: Resident) -> Runtime:
        """The version, loaded now if it is not resident."""
        runtime = self._loaded.get(wanted)
        if runtime is None:
            runtime = self._load_into_room(wanted)
            self._make_room(runtime.nbytes)
            self._loaded[wanted] = runtime
            keep()
        self._loaded.move_to_end(wanted)
        return runtime

    @property
    def nbytes(self) -> int:
        """Bytes in use."""
        return sum(runtime.nbytes for runtime in self._loaded.values())

    def __contains__(self, wanted: Resident) -> bool:
        return wanted in self._loaded

    def _load_into_room(self, wanted: Resident) -> Runtime:
        try:
            return self._load(wanted)
        except torch.OutOfMemoryError:
            if not self._loaded:
                raise
            log.info("unloading every version to make room for %s", wanted.digest)
            self._loaded.clear()
            let_go()
            return self._load(wanted)

    def _make_room(self, needed: int) -> None:
        while self._loaded and self.nbytes + needed > self._capacity:
            left, _ = self._loaded.popitem(last=False)
            log.info("unloaded %s to make room", left.digest)
            let_go()
