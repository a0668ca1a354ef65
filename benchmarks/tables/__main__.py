"""The accuracy of ``mlp`` on raw tables of mixed columns, against scikit-learn with an encoding by hand.

The tables are random, with a known structure: numbers of which some are missing or skewed, categories, booleans and
dates. Longshore gets them as they are; for scikit-learn they are encoded as one does it by hand, for boosted trees and
for a network of the same size.

usage: python -m benchmarks.tables [--only incomes,passengers,rides,flats] [--rows ROWS] [--epochs 60]
"""

from __future__ import annotations

import argparse
import sys
import time

from rich.console import Console
from rich.table import Table

from benchmarks.cluster import TIMEOUT_S, running_cluster
from benchmarks.tables.by_hand import by_hand
from benchmarks.tables.mixed_tables import TABLES, TARGET, TOLERANCE, MixedTable
from longshore.producers import Client


def ours(client: Client, table: MixedTable, rows: int | None, epochs: int) -> tuple[float, float, list[str]]:
    """The score on the rows to test on, the seconds of the training, and the notes of the job."""
    train, test = table.split(rows)
    start = time.perf_counter()
    job = client.train(table.name, "mlp", train, TARGET, epochs=epochs, config={"hidden": [64]}, early_stopping=8)
    job.wait(TIMEOUT_S, progress=False)
    seconds = time.perf_counter() - start
    metrics = client.evaluate(table.name, test).wait(TIMEOUT_S, progress=False).evaluation().metrics
    return metrics["r2" if table.regression else "accuracy"], seconds, job.notes


def main() -> None:
    """Train on the chosen tables and print the scores."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", default=",".join(table.name for table in TABLES))
    parser.add_argument("--rows", type=int, help="of each table; by default 4,000 or 6,000")
    parser.add_argument("--epochs", type=int, default=60, help="at most")
    options = parser.parse_args()
    shown = Table(title="accuracy, or R² of a regression, on 3 of 10 rows")
    for column in ("table", "longshore, raw", "boosted trees", "network", "difference to the better", "target"):
        shown.add_column(column, justify="left" if column == "table" else "right")
    with running_cluster() as client:
        for table in TABLES:
            if table.name not in options.only.split(","):
                continue
            score, seconds, notes = ours(client, table, options.rows, options.epochs)
            others = by_hand(*table.split(options.rows), regression=table.regression)
            shown.add_row(
                f"{table.name}{' (R²)' if table.regression else ''}",
                f"{score:.3f} in {seconds:.0f} s",
                *(f"{other:.3f}" for other in others.values()),
                f"{score - max(others.values()):+.3f}",
                f">= -{TOLERANCE:g}",
            )
            print(table.name, *notes, sep="\n  ")
    Console(file=sys.stdout, width=max(Console().width, 120)).print(shown)


if __name__ == "__main__":
    main()
