"""The task of a training, as far as the type of its target tells it before a worker has seen the rows."""

from __future__ import annotations

from typing import Literal

import pyarrow as pa

from longshore.shared.datasets.shapes import is_list, is_text, stored
from longshore.shared.losses import check_loss
from longshore.shared.training import TrainSpec


def task_of(spec: TrainSpec, kind: pa.DataType) -> Literal["auto", "classification", "regression"]:
    """The task of a target of type ``kind``; ``auto`` where only its values can tell, as of integers."""
    kind = stored(kind)
    if spec.task != "auto":
        return spec.task
    if is_text(kind) or pa.types.is_boolean(kind):
        return "classification"
    return "regression" if is_list(kind) or pa.types.is_floating(kind) or pa.types.is_decimal(kind) else "auto"


def check_task(spec: TrainSpec, kind: pa.DataType) -> None:
    """Whether the options of ``spec`` go with a target of type ``kind``.

    :raises InvalidInput: one is for another task; names it.
    """
    check_loss(spec.loss, spec.loss_arguments, task_of(spec, kind))
