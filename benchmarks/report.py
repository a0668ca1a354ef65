"""The tables that the benchmarks print."""

from __future__ import annotations

import statistics
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from rich.console import Console
from rich.table import Table


@dataclass(frozen=True)
class SpeedComparison:
    """The rates of both sides, measured in turn in one run."""

    work: str
    unit: str
    ours: Sequence[float]
    theirs: Sequence[float]
    #: The name of the alternative.
    against: str
    #: The ratio to reach.
    target: float

    @property
    def ratio(self) -> float:
        """The median of the ratios of the rounds, because the speed of the machine can drift between rounds."""
        return statistics.median(one / other for one, other in zip(self.ours, self.theirs, strict=True))


def in_turn(rounds: int, ours: Callable[[], float], theirs: Callable[[], float]) -> tuple[list[float], list[float]]:
    """Measure both sides one after the other, ``rounds`` times, after one round of warm-up.

    Each rate is written to standard error as soon as it is known: on a busy machine, a round takes minutes.
    """
    rates = [
        (_measured(theirs, f"{name}, the other side"), _measured(ours, f"{name}, longshore"))
        for name in ("warm-up", *(f"round {number} of {rounds}" for number in range(1, rounds + 1)))
    ][1:]
    return [one for _, one in rates], [other for other, _ in rates]


def _measured(measure: Callable[[], float], name: str) -> float:
    start = time.perf_counter()
    rate = measure()
    sys.stderr.write(f"{name}: {rate:,.1f}, in {time.perf_counter() - start:.0f} s\n")
    return rate


def show(comparisons: Sequence[SpeedComparison]) -> None:
    """Print a table: medians, smallest to largest rates, and ratios."""
    table = Table(title="medians (smallest to largest); the ratio is the median of the rounds")
    for column in ("work", "longshore", "against", "ratio", "target"):
        table.add_column(column, justify="right" if column in ("ratio", "target") else "left")
    for each in comparisons:
        table.add_row(
            each.work,
            _rates(each.ours, each.unit),
            f"{each.against}: {_rates(each.theirs, each.unit)}",
            f"{each.ratio:.2f}",
            f">= {each.target:g}",
        )
    Console(file=sys.stdout, width=max(Console().width, 150)).print(table)


def _rates(rates: Sequence[float], unit: str) -> str:
    return f"{statistics.median(rates):,.0f} {unit}/s ({min(rates):,.0f} to {max(rates):,.0f})"
