"""The result of an evaluation as tables."""

from __future__ import annotations

import sys

from longshore.producers.cli.output import print_table
from longshore.shared.specs.evaluate import Evaluation

#: The maximum number of classes in a table; ``--json`` shows all that the evaluation has.
MAX_CLASSES = 30


def print_evaluation(evaluation: Evaluation) -> None:
    """Print the metrics and, if the evaluation has them, the classes, the confusion matrix and the worst rows."""
    if evaluation.positive is not None:
        sys.stdout.write(f"\npositive class  {evaluation.positive}, from a probability of {evaluation.threshold} on\n")
    _print_heading(f"{evaluation.rows:,} rows, 95 % confidence intervals from {evaluation.bootstrap:,} resamples")
    metrics = [(name, _short(value), *_bounds(evaluation, name)) for name, value in evaluation.metrics.items()]
    print_table(("METRIC", "VALUE", "LOW", "HIGH"), metrics)
    if evaluation.classes:
        largest = sorted(evaluation.classes, key=lambda scores: -scores.support)[:MAX_CLASSES]
        shown = [scores for scores in evaluation.classes if scores in largest]
        _print_heading(
            f"{len(shown)} of {evaluation.classes_total} classes"
            if len(shown) < evaluation.classes_total
            else "classes"
        )
        rows = [
            (scores.label, *map(_short, (scores.precision, scores.recall, scores.f1)), scores.support)
            for scores in shown
        ]
        print_table(("CLASS", "PRECISION", "RECALL", "F1", "ROWS"), rows)
    matrix = evaluation.confusion_matrix
    if matrix is not None and len(matrix.labels) <= MAX_CLASSES:
        _print_heading("confusion matrix (rows: target, columns: prediction)")
        lines = [(label, *counts) for label, counts in zip(matrix.labels, matrix.counts, strict=True)]
        print_table(("", *map(str, matrix.labels)), lines)
    if evaluation.worst:
        _print_heading("rows with the largest losses")
        worst = [(row.row, _text(row.target), _text(row.prediction), _short(row.loss)) for row in evaluation.worst]
        print_table(("ROW", "TARGET", "PREDICTION", "LOSS"), worst)


def _print_heading(line: str) -> None:
    sys.stdout.write(f"\n{line}\n")


def _bounds(evaluation: Evaluation, name: str) -> tuple[str, str]:
    bounds = evaluation.intervals.get(name)
    return ("", "") if bounds is None else (_short(bounds[0]), _short(bounds[1]))


def _short(value: float) -> str:
    return f"{value:.4g}"


def _text(value: object) -> str:
    if isinstance(value, tuple):
        return ", ".join(map(str, value)) or "(none)"
    return _short(value) if isinstance(value, float) else str(value)
