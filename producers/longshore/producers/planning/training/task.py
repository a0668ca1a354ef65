"""The task of a training, as far as the type of its target tells it before a worker has seen the rows."""

from __future__ import annotations

import pyarrow as pa
import pyarrow.compute as pc

from longshore.producers.planning.training.data import Taken
from longshore.shared.datasets.columns.label_lists import is_label_lists
from longshore.shared.datasets.columns.types import is_list, is_text, stored
from longshore.shared.specs.class_weights import by_class
from longshore.shared.specs.losses import check_loss
from longshore.shared.specs.train import TrainSpec
from longshore.shared.vocabulary import TrainTask


def task_of(spec: TrainSpec, kind: pa.DataType) -> TrainTask:
    """The task of a target of type ``kind``; ``auto`` if it depends on the values, as for integers."""
    kind = stored(kind)
    if spec.task != "auto":
        return spec.task
    if is_label_lists(kind, spec.task):
        return "multilabel"
    if is_text(kind) or pa.types.is_boolean(kind):
        return "classification"
    return "regression" if is_list(kind) or pa.types.is_floating(kind) or pa.types.is_decimal(kind) else "auto"


def check_task(spec: TrainSpec, data: Taken) -> None:
    """Whether the options of ``spec`` go with the target, as far as it is known.

    :raises InvalidInput: one is for another task or names a label that is none; names it.
    """
    target = data.rows[spec.target]
    task = task_of(spec, target.type)
    check_loss(spec.loss, spec.loss_arguments, task)
    weights = spec.class_weights
    # Only the first rows of a file are known, and fractions are converted to labels only later.
    if data.whole and isinstance(weights, dict) and task != "regression" and not pa.types.is_floating(target.type):
        by_class(weights, sorted(pc.unique(target).drop_null().to_pylist()))
