"""The tables that the benchmarks print."""

from __future__ import annotations

import statistics
import sys
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
    """Measure both sides one after the other, ``rounds`` times, after one round of warm-up."""
    theirs()
    ours()
    rates = [(theirs(), ours()) for _ in range(rounds)]
    return [one for _, one in rates], [other for other, _ in rates]


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
