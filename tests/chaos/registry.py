"""The register of faults."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from typing import TypeAlias

from tests.chaos.deployment import Deployment

Fault: TypeAlias = Callable[[Deployment, random.Random], AbstractContextManager[None]]

#: Every fault by its name.
FAULTS: dict[str, Fault] = {}


def fault(name: str) -> Callable[[Callable[[Deployment, random.Random], Iterator[None]]], Fault]:
    """Register a generator that puts a fault in place, yields, and takes it away."""

    def register(function: Callable[[Deployment, random.Random], Iterator[None]]) -> Fault:
        FAULTS[name] = contextmanager(function)
        return FAULTS[name]

    return register
