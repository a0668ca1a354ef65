"""TensorBoard's event files, of what a training job has reported (extra ``tensorboard``).

https://www.tensorflow.org/tensorboard/scalars_and_keras
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from longshore.producers.reporting.curves import STEP_PREFIX
from longshore.shared.errors import InvalidInput
from longshore.shared.ledger.records import MetricRecord


def write_event_file(metrics: Iterable[MetricRecord], folder: Path) -> int:
    """Add a new event file to ``folder``, which is made if need be.

    :returns: how many numbers it holds.
    :raises InvalidInput: nothing has been measured, TensorBoard is not installed, or the folder cannot be written.
    """
    try:
        from tensorboard.compat.proto.event_pb2 import Event
        from tensorboard.compat.proto.summary_pb2 import Summary
        from tensorboard.summary.writer.event_file_writer import EventFileWriter
    except ImportError:
        raise InvalidInput("tensorboard", "not installed; run: pip install 'longshore[tensorboard]'") from None
    numbers = list(metrics)
    if not numbers:
        raise InvalidInput("job", "it has measured nothing yet, so there is nothing to write")
    try:
        folder.mkdir(parents=True, exist_ok=True)
        writer = EventFileWriter(str(folder))
    except OSError as error:
        raise InvalidInput("output", f"cannot write {folder}: {error.strerror}") from None
    for metric in numbers:
        value = Summary.Value(tag=_tag(metric.name), simple_value=metric.value)
        writer.add_event(
            Event(wall_time=metric.recorded_at.timestamp(), step=metric.step, summary=Summary(value=[value]))
        )
    writer.close()
    return len(numbers)


def _tag(name: str) -> str:
    """Tags before a slash are groups there: ``val_loss`` lies in ``epoch``, ``step/loss`` in ``step``."""
    return name if name.startswith(STEP_PREFIX) else f"epoch/{name}"
