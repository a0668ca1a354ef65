"""Loaded versions on the device. If memory runs short, the least recently used one is unloaded first."""

from __future__ import annotations

import logging
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass

import torch

from longshore.shared.ledger.records import Claim
from longshore.shared.specs.jobs import InferSpec
from longshore.workers.process.gc_tuning import collect_and_freeze, freeze_heap
from longshore.workers.runtimes.base import Execution, Runtime

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class CacheUsage:
    """What a cache holds, and what it has done."""

    #: Versions that are loaded, and the bytes that they take.
    versions: int = 0
    nbytes: int = 0
    #: Since the start.
    loads: int = 0
    evictions: int = 0


@dataclass(frozen=True)
class ModelKey:
    """What is loaded once: a version, together with how it is computed."""

    digest: str
    execution: Execution


class ModelCache:
    """Loaded versions, least recently used first.

    :param capacity: bytes that they may take together. A single larger version is loaded all the same, alone.
    :param load: loads a version onto the device.
    :param make_room: frees so many bytes that others hold, if it can.
    """

    def __init__(
        self, capacity: int, load: Callable[[ModelKey], Runtime], make_room: Callable[[int], None] = lambda _: None
    ) -> None:
        self._capacity = capacity
        self._make_room = make_room
        self._load = load
        self._loaded: OrderedDict[ModelKey, Runtime] = OrderedDict()
        self._loads = 0
        #: As of the last change; another thread can read it.
        self.usage = CacheUsage()

    def for_job(self, claim: Claim, spec: InferSpec) -> Runtime:
        """The version that a shard runs, loaded with the precision and the compilation that its job asks for.

        :raises CorruptBlob: the version cannot be loaded.
        """
        if claim.digest is None:
            raise ValueError(f"job {claim.job_id} has no version to run")
        return self.get(ModelKey(claim.digest, Execution(spec.precision, spec.compile)))

    def get(self, key: ModelKey) -> Runtime:
        """The version; loads it if it is not in the cache."""
        runtime = self._loaded.get(key)
        if runtime is None:
            runtime = self._load_or_evict(key)
            self._make_room(self.nbytes + runtime.nbytes)
            self._evict_for(runtime.nbytes)
            self._loaded[key] = runtime
            self._loads += 1
            count = len(self._loaded)
            self.usage = CacheUsage(count, self.nbytes, self._loads, self._loads - count)
            freeze_heap()
        self._loaded.move_to_end(key)
        return runtime

    @property
    def nbytes(self) -> int:
        """Bytes in use."""
        return sum(runtime.nbytes for runtime in self._loaded.values())

    def __contains__(self, key: ModelKey) -> bool:
        return key in self._loaded

    def free(self, needed: int) -> None:
        """Unload versions until so many bytes can be used, or none is loaded."""
        self._evict_for(needed)
        count = len(self._loaded)
        self.usage = CacheUsage(count, self.nbytes, self._loads, self._loads - count)

    def _load_or_evict(self, key: ModelKey) -> Runtime:
        try:
            return self._load(key)
        except torch.OutOfMemoryError:
            self._make_room(self._capacity)
            log.info("unloading every version to make room for %s", key.digest)
            self._loaded.clear()
            collect_and_freeze()
            return self._load(key)

    def _evict_for(self, needed: int) -> None:
        while self._loaded and self.nbytes + needed > self._capacity:
            evicted, _ = self._loaded.popitem(last=False)
            log.info("unloaded %s to make room", evicted.digest)
            collect_and_freeze()
