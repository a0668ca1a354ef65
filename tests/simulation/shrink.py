"""Makes a history that fails shorter: leaves out faults and steps of producers as long as it still fails."""

from __future__ import annotations

from tests.simulation.run import Outcome, World, simulate

#: The most runs that shrinking one seed takes.
MAX_RUNS = 120


def shrink(world: World, failed: Outcome, runs: int = MAX_RUNS) -> tuple[Outcome, frozenset[str]]:
    """The shortest failing outcome of the same seed that was found, and what was left out for it."""
    best, dropped = failed, frozenset[str]()
    size = max(1, len(failed.faults) + len(failed.steps))
    while size >= 1 and runs > 0:
        parts = [*best.faults, *best.steps]
        smaller = False
        for first in range(0, len(parts), size):
            if runs <= 0:
                break
            tried = dropped | set(parts[first : first + size])
            runs -= 1
            outcome = simulate(world, failed.seed, tried)
            if outcome.violations:
                best, dropped, smaller = outcome, tried, True
                break
        if not smaller:
            size //= 2
    return best, dropped
