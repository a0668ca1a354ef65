"""Versions that stay loaded on the device, the least recently used one leaving first."""

from __future__ import annotations

import logging
from collections import OrderedDict
from collections.abc import Callable

import torch

from longshore.workers.runtimes.base import Runtime

log = logging.getLogger("longshore.worker")


class Residents:
    """Loaded versions by digest.

    :param capacity: bytes they may take together. A single larger one is loaded all the same, alone.
    :param load: loads a version onto the device.
    """

    def __init__(self, capacity: int, load: Callable[[str], Runtime]) -> None:
        self._capacity = capacity
        self._load = load
        self._loaded: OrderedDict[str, Runtime] = OrderedDict()

    def get(self, digest: str) -> Runtime:
        """The version, loaded now if it is not resident."""
        runtime = self._loaded.get(digest)
        if runtime is None:
            runtime = self._load_into_room(digest)
            self._make_room(runtime.nbytes)
            self._loaded[digest] = runtime
        self._loaded.move_to_end(digest)
        return runtime

    @property
    def nbytes(self) -> int:
        """Bytes in use."""
        return sum(runtime.nbytes for runtime in self._loaded.values())

    def __contains__(self, digest: str) -> bool:
        return digest in self._loaded

    def _load_into_room(self, digest: str) -> Runtime:
        try:
            return self._load(digest)
        except torch.OutOfMemoryError:
            if not self._loaded:
                raise
            log.info("unloading every version to make room for %s", digest)
            self._loaded.clear()
            return self._load(digest)

    def _make_room(self, needed: int) -> None:
        while self._loaded and self.nbytes + needed > self._capacity:
            digest, _ = self._loaded.popitem(last=False)
            log.info("unloaded %s to make room", digest)
