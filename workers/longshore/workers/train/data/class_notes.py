"""Notes on the classes of the rows to train on, and on how many rows measure a training."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from longshore.shared.specs.train import TrainSpec
from longshore.shared.specs.validation import shorten
from longshore.workers.train.data.dataset import TrainingData
from longshore.workers.train.data.stream.dataset import StreamedData

#: The largest class has this many times the rows of another before classes are unbalanced.
_UNBALANCED = 10
#: Fewer rows do not teach a class.
_FEW_ROWS = 5
#: On fewer validation rows, a metric says little: of 10 rows, one is 10 % of the accuracy.
_FEW_VALIDATION_ROWS = 10
#: Classes that a note lists, at most; it counts the others.
_LISTED = 5


def class_notes(spec: TrainSpec, data: TrainingData | StreamedData) -> tuple[str, ...]:
    """Notes on classes with few rows, and on few validation rows, a sentence each."""
    labels = data.signature.labels
    counts = data.class_counts if data.signature.task == "classification" and labels is not None else ()
    notes = [*_balance_notes(spec, labels or (), counts)] if counts else []
    return (*notes, *_validation_notes(data, labels or (), counts))


def _balance_notes(spec: TrainSpec, labels: Sequence[str | int | bool], counts: Sequence[int]) -> Iterator[str]:
    order = sorted(range(len(counts)), key=lambda code: (counts[code], code))
    few = [code for code in order if counts[code] < _FEW_ROWS]
    if few:
        yield f"too few rows to train on of {_listed(labels, counts, few)}; {_FEW_ROWS} or more teach a class"
    largest = max(range(len(counts)), key=lambda code: counts[code])
    rare = [code for code in order if counts[code] * _UNBALANCED <= counts[largest]]
    if not rare or spec.class_weights is not None:
        return
    weights = "class_weights='balanced' makes all classes count the same, and " if spec.devices == 1 else ""
    yield (
        f"unbalanced classes: {_listed(labels, counts, rare)}, of {sum(counts):,} rows to train on; the largest is "
        f"{_listed(labels, counts, [largest])}; {weights}metrics=['f1'] measures them alike"
    )


def _validation_notes(
    data: TrainingData | StreamedData, labels: Sequence[str | int | bool], counts: Sequence[int]
) -> Iterator[str]:
    validated = data.validation_counts
    rows = data.validation_rows
    if not rows:
        return
    if rows < _FEW_VALIDATION_ROWS:
        yield (
            f"only {rows} validation rows measure the epochs, so that chance decides much of the metrics; give a "
            "larger validation, or use cross-validation"
        )
    missing = [code for code, count in enumerate(validated) if not count]
    if counts and validated and missing:
        yield f"no validation row has the class {_listed(labels, counts, missing)}, so no metric measures it"


def _listed(labels: Sequence[str | int | bool], counts: Sequence[int], codes: Sequence[int]) -> str:
    """Classes with their rows: ``'fraud' (12)``."""
    more = f" and {len(codes) - _LISTED:,} more" if len(codes) > _LISTED else ""
    return ", ".join(f"{shorten(labels[code])} ({counts[code]:,})" for code in codes[:_LISTED]) + more
