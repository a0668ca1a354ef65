"""How the benchmarks say what they saw."""

from __future__ import annotations

import statistics
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from rich.console import Console
from rich.table import Table


@dataclass(frozen=True)
class Comparison:
    """Rates of two sides, measured in turn in one run."""

    work: str
    unit: str
    ours: Sequence[float]
    theirs: Sequence[float]
    #: What the other side is.
    against: str
    #: The ratio to reach.
    wanted: float

    @property
    def ratio(self) -> float:
        """Median of the ratios of neighbouring rounds: the machine's speed can drift between rounds."""
        return statistics.median(one / other for one, other in zip(self.ours, self.theirs, strict=True))


def in_turn(rounds: int, ours: Callable[[], float], theirs: Callable[[], float]) -> tuple[list[float], list[float]]:
    """Measure both sides one after the other, ``rounds`` times, after a round that does not count."""
    theirs()
    ours()
    measured = [(theirs(), ours()) for _ in range(rounds)]
    return [one for _, one in measured], [other for other, _ in measured]


def show(comparisons: Sequence[Comparison]) -> None:
    """Print a table: medians, smallest to largest, and the ratios."""
    table = Table(title="medians (smallest to largest); the ratio is the median of each round's")
    for column in ("work", "longshore", "against", "ratio", "wanted"):
        table.add_column(column, justify="right" if column in ("ratio", "wanted") else "left")
    for each in comparisons:
        table.add_row(
            each.work,
            _rates(each.ours, each.unit),
            f"{each.against}: {_rates(each.theirs, each.unit)}",
            f"{each.ratio:.2f}",
            f">= {each.wanted:g}",
        )
    Console(file=sys.stdout, width=max(Console().width, 150)).print(table)


def _rates(rates: Sequence[float], unit: str) -> str:
    return f"{statistics.median(rates):,.0f} {unit}/s ({min(rates):,.0f} to {max(rates):,.0f})"
