"""A bounded number of seeds: nothing is lost, done twice or left unfinished, whatever dies in between."""

from __future__ import annotations

from collections.abc import Iterator
from random import Random

import pytest

from tests.simulation.__main__ import describe
from tests.simulation.database import create
from tests.simulation.mutants import MUTANTS
from tests.simulation.run import World, simulate
from tests.simulation.server import server
from tests.simulation.shrink import shrink
from tests.simulation.workload import draw

pytestmark = pytest.mark.slow

#: Seeds of a usual test run; `python -m tests.simulation --seeds 10000` runs more.
SEEDS = 100
#: Seeds within which each mutant is found.
MUTANT_SEEDS = 500
#: Mutants that are first found late: a test run begins there.
FIRST_SEED = {"keys are forgotten": 200, "no fence for files": 320, "no fence for failures": 100}


@pytest.fixture(scope="module")
def world() -> Iterator[World]:
    with server() as url, World(create(url, "simulation")) as world:
        yield world


@pytest.mark.parametrize("first", range(0, SEEDS, 25))
def test_no_seed_violates_the_guarantee(world: World, first: int) -> None:
    for seed in range(first, first + 25):
        outcome = simulate(world, seed)
        assert not outcome.violations, describe(world, outcome)


#: Found too late for a test run; `python -m tests.simulation --seeds 500 --mutant NAME` simulates them.
LATE = {"a fence without the attempt", "no fence for batches"}


@pytest.mark.parametrize("name", sorted(set(MUTANTS) - LATE))
def test_a_mistake_in_the_product_is_found(world: World, name: str) -> None:
    with MUTANTS[name]():
        assert any(simulate(world, seed).violations for seed in range(FIRST_SEED.get(name, 0), MUTANT_SEEDS))


def test_a_seed_repeats_itself(world: World) -> None:
    histories = [simulate(world, seed).history for seed in (3, 4, 5)]
    assert [simulate(world, seed).history for seed in (3, 4, 5)] == histories


def test_seeds_reach_every_kind_of_fault(world: World) -> None:
    """A simulation in which nothing goes wrong proves nothing."""
    lines = [line for seed in range(30) for line in simulate(world, seed).history]
    for sign in (
        "is killed at",
        "loses its connection at",
        "stands still",
        "has lost",
        "releases",
        "lose all",
        "go down",
    ):
        assert any(sign in line for line in lines), sign
    kinds = {
        job.kind
        for seed in range(30)
        for steps in draw(Random(f"{seed} workload")).producers.values()
        for step in steps
        for job in step.jobs
    }
    assert kinds == {"shards", "small", "plan", "files", "train", "chain"}


def test_a_failing_history_becomes_shorter_and_still_fails(world: World) -> None:
    with MUTANTS["leases that never run out"]():
        # Actors that wait for locks can be let on in another order when a seed is repeated: not every history can be
        # made shorter.
        for seed in range(50):
            failed = simulate(world, seed)
            if not failed.violations:
                continue
            shortest, dropped = shrink(world, failed, runs=20)
            shorter = len(shortest.faults) + len(shortest.steps) < len(failed.faults) + len(failed.steps)
            if shortest.violations and shorter and simulate(world, failed.seed, dropped).violations:
                return
    raise AssertionError("no failing history became shorter")
