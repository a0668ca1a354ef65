"""Faults of the machines: their files, and their clocks."""

from __future__ import annotations

import random
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from uuid import uuid4

from tests.chaos.deployment import Deployment
from tests.chaos.disks import Disk, disks_can_be_made
from tests.chaos.registry import fault
from tests.chaos.shim import Shim, shim_can_be_made

#: Seconds that each operation on a file of a slow store takes.
SHORTEST_DELAY_S, LONGEST_DELAY_S = 0.05, 2.0
#: Seconds by which a clock is set forward or back.
SMALLEST_STEP_S, LARGEST_STEP_S = 60.0, 3600.0

# The files


@fault("store away")
def _store_away(deployment: Deployment, _: random.Random) -> Iterator[None]:
    # The folder itself may be where a disk is mounted.
    with _away(deployment.store.parent):
        yield


@fault("data away")
def _data_away(deployment: Deployment, _: random.Random) -> Iterator[None]:
    with _away(deployment.data):
        yield


@contextmanager
def _away(folder: Path) -> Iterator[None]:
    away = folder.with_name(f"{folder.name}.away")
    folder.rename(away)
    try:
        yield
    finally:
        # A worker may have made the folder anew meanwhile: what it wrote there is as lost as on a disk that is gone.
        if folder.exists():
            folder.rename(folder.with_name(f"{folder.name}.{uuid4().hex}"))
        away.rename(folder)


if disks_can_be_made():

    @fault("store full")
    def _store_full(deployment: Deployment, _: random.Random) -> Iterator[None]:
        with _disk(deployment.store_disk).full():
            yield

    @fault("store read-only")
    def _store_read_only(deployment: Deployment, _: random.Random) -> Iterator[None]:
        with _disk(deployment.store_disk).read_only():
            yield

    @fault("disk of Redis and Postgres full")
    def _services_full(deployment: Deployment, _: random.Random) -> Iterator[None]:
        with _disk(deployment.services_disk).full():
            yield


def _disk(found: Disk | None) -> Disk:
    assert found is not None
    return found


if shim_can_be_made():

    @fault("store slow")
    def _store_slow(deployment: Deployment, rng: random.Random) -> Iterator[None]:
        with _shim(deployment).slow_store(rng.uniform(SHORTEST_DELAY_S, LONGEST_DELAY_S)):
            yield


# The clocks


def _step(name: str, machine: str, directions: tuple[int, ...]) -> None:
    """A clock is set; at the end of the fault it is set again to what it was, or left."""

    def inject(deployment: Deployment, rng: random.Random) -> Iterator[None]:
        shim = _shim(deployment)
        before = shim.offset_s(machine)
        shim.step(machine, before + rng.choice(directions) * rng.uniform(SMALLEST_STEP_S, LARGEST_STEP_S))
        yield
        if rng.random() < 0.5:
            shim.step(machine, before)

    fault(f"clock of {name}")(inject)


if shim_can_be_made():
    _step("Postgres set forward", "postgres", (1,))
    _step("Postgres set back", "postgres", (-1,))
    _step("Redis set", "redis", (1, -1))
    _step("the workers set", "workers", (1, -1))
    _step("the relays set", "relays", (1, -1))
    _step("the producers set", "producers", (1, -1))


def _shim(deployment: Deployment) -> Shim:
    assert deployment.shim is not None
    return deployment.shim
