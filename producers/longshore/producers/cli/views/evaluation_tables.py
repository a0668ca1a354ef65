"""What an evaluation found, as tables."""

from __future__ import annotations

import sys

from longshore.producers.cli.output import print_table
from longshore.shared.specs.evaluate import Evaluation

#: Classes that tables for people show; ``--json`` has all that are kept.
SHOWN = 30


def print_evaluation(found: Evaluation) -> None:
    """Metrics, classes, confusion matrix and worst rows, each that there is."""
    _headed(f"measured on {found.rows:,} rows, 95 % intervals from {found.bootstrap:,} resamples")
    metrics = [(name, _short(value), *_bounds(found, name)) for name, value in found.metrics.items()]
    print_table(("METRIC", "VALUE", "FROM", "TO"), metrics)
    if found.classes:
        by_rows = sorted(found.classes, key=lambda each: -each.support)[:SHOWN]
        shown = [each for each in found.classes if each in by_rows]
        _headed(f"{len(shown)} of {found.classes_total} classes" if len(shown) < found.classes_total else "classes")
        rows = [(each.label, *map(_short, (each.precision, each.recall, each.f1)), each.support) for each in shown]
        print_table(("CLASS", "PRECISION", "RECALL", "F1", "ROWS"), rows)
    matrix = found.confusion_matrix
    if matrix is not None and len(matrix.labels) <= SHOWN:
        _headed("target (down) against prediction (across)")
        lines = [(label, *counts) for label, counts in zip(matrix.labels, matrix.counts, strict=True)]
        print_table(("", *map(str, matrix.labels)), lines)
    if found.worst:
        _headed("most wrong")
        worst = [(each.row, _text(each.target), _text(each.prediction), _short(each.loss)) for each in found.worst]
        print_table(("ROW", "TARGET", "PREDICTION", "LOSS"), worst)


def _headed(line: str) -> None:
    sys.stdout.write(f"\n{line}\n")


def _bounds(found: Evaluation, name: str) -> tuple[str, str]:
    bounds = found.intervals.get(name)
    return ("", "") if bounds is None else (_short(bounds[0]), _short(bounds[1]))


def _short(value: float) -> str:
    return f"{value:.4g}"


def _text(value: object) -> str:
    if isinstance(value, tuple):
        return ", ".join(map(str, value)) or "(none)"
    return _short(value) if isinstance(value, float) else str(value)
