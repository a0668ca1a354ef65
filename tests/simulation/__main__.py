"""Simulate many seeds: ``python -m tests.simulation --seeds 10000 --jobs 2``.

A seed that fails is shown with the shortest history that was found, and the command that repeats it.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections import Counter
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor, as_completed
from contextlib import AbstractContextManager, nullcontext

from tests.simulation.database import create
from tests.simulation.mutants import MUTANTS
from tests.simulation.run import Outcome, World, simulate
from tests.simulation.server import server
from tests.simulation.shrink import shrink

#: Seeds that a process takes at a time.
BATCH_SEEDS = 25


def main() -> int:
    """Run the command.

    :returns: 1 if a seed has failed.
    """
    parser = argparse.ArgumentParser(prog="python -m tests.simulation", description=__doc__)
    parser.add_argument("--seeds", type=int, default=1000, help="how many seeds")
    parser.add_argument("--from", type=int, default=0, dest="first", metavar="SEED", help="the first seed")
    parser.add_argument("--seed", type=int, help="only this seed, with its whole history")
    parser.add_argument("--drop", default="", help="with --seed: faults and steps to leave out, joined by commas")
    parser.add_argument("--jobs", type=int, default=1, help="processes")
    parser.add_argument("--mutant", choices=MUTANTS, help="simulate the product with this mistake")
    parser.add_argument("--max-failures", type=int, default=3, help="stop after so many seeds that fail")
    arguments = parser.parse_args()
    mutant: Callable[[], AbstractContextManager[None]] = MUTANTS.get(arguments.mutant, nullcontext)
    repeat = "" if arguments.mutant is None else f" --mutant {arguments.mutant!r}"
    with server() as url:
        if arguments.seed is not None:
            with World(create(url, "simulation")) as world, mutant():
                outcome = simulate(world, arguments.seed, frozenset(filter(None, arguments.drop.split(","))))
            sys.stdout.write("\n".join([*outcome.history, "", *(outcome.violations or ["no violation"])]) + "\n")
            return bool(outcome.violations)
        return _simulate_many(url, arguments, repeat)


def _simulate_many(url: str, arguments: argparse.Namespace, repeat: str) -> int:
    started, totals, failures = time.monotonic(), Counter[str](), 0
    last = arguments.first + arguments.seeds
    batches = [range(first, min(first + BATCH_SEEDS, last)) for first in range(arguments.first, last, BATCH_SEEDS)]
    with ProcessPoolExecutor(arguments.jobs) as pool:
        futures = [pool.submit(_simulate_batch, url, batch, arguments.mutant) for batch in batches]
        for future in as_completed(futures):
            counts, texts = future.result()
            totals += counts
            for text in texts:
                failures += 1
                sys.stdout.write(f"{text}{repeat}\n\n")
            if failures >= arguments.max_failures:
                for other in futures:
                    other.cancel()
                break
            if totals["seeds"] % 500 == 0:
                sys.stdout.write(f"{totals['seeds']} seeds in {time.monotonic() - started:.0f} s\n")
                sys.stdout.flush()
    seconds = time.monotonic() - started
    numbers = ", ".join(f"{totals[name]:,} {name}" for name in ("seeds", "jobs", "faults", "lock waits"))
    sys.stdout.write(f"{numbers}, {failures} violations; {totals['seeds'] / seconds:.1f} seeds/s\n")
    return bool(failures)


_worlds: list[World] = []


def _simulate_batch(url: str, seeds: range, mutant: str | None) -> tuple[Counter[str], list[str]]:
    """In a process of the pool: counts, and a text for each seed that has failed."""
    import os

    if not _worlds:
        _worlds.append(World(create(url, f"simulation_{os.getpid()}")))
    world, counts, texts = _worlds[0], Counter[str](), []
    with MUTANTS[mutant]() if mutant else nullcontext():
        for seed in seeds:
            outcome = simulate(world, seed)
            counts.update(_counts(outcome))
            if outcome.violations:
                texts.append(describe(world, outcome))
                break
    return counts, texts


def _counts(outcome: Outcome) -> dict[str, int]:
    return {"seeds": 1, "jobs": outcome.jobs, "faults": len(outcome.faults), "lock waits": outcome.lock_waits}


def describe(world: World, failed: Outcome) -> str:
    """A failing seed for people: its shortest history, its violations, and the command that repeats it."""
    shortest, dropped = shrink(world, failed)
    left_out = f" --drop {','.join(sorted(dropped))}" if dropped else ""
    return "\n".join(
        [
            f"seed {failed.seed} fails. The shortest history ({len(shortest.history)} of {len(failed.history)} lines):",
            *shortest.history,
            *(f"VIOLATION: {violation}" for violation in shortest.violations),
            f"repeat: python -m tests.simulation --seed {failed.seed}{left_out}",
        ]
    )


if __name__ == "__main__":
    sys.exit(main())
