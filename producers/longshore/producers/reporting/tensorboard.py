"""The metrics of a training job as an event file for TensorBoard (extra ``tensorboard``).

https://www.tensorflow.org/tensorboard/scalars_and_keras
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from longshore.producers.reporting.curves import STEP_PREFIX
from longshore.shared.errors import InvalidInput
from longshore.shared.ledger.records import MetricRecord


def write_event_file(metrics: Iterable[MetricRecord], folder: Path) -> int:
    """Write a new event file to ``folder``, which is created if it does not exist.

    :returns: the number of values written.
    :raises InvalidInput: there are no metrics, TensorBoard is not installed, or the folder cannot be written.
    """
    try:
        from tensorboard.compat.proto.event_pb2 import Event
        from tensorboard.compat.proto.summary_pb2 import Summary
        from tensorboard.summary.writer.event_file_writer import EventFileWriter
    except ImportError:
        raise InvalidInput("tensorboard", "not installed; run: pip install 'longshore[tensorboard]'") from None
    records = list(metrics)
    if not records:
        raise InvalidInput("job", "there are no metrics to write yet")
    try:
        folder.mkdir(parents=True, exist_ok=True)
        writer = EventFileWriter(str(folder))
    except OSError as error:
        raise InvalidInput("output", f"cannot write {folder}: {error.strerror}") from None
    for metric in records:
        value = Summary.Value(tag=_tag(metric.name), simple_value=metric.value)
        writer.add_event(
            Event(wall_time=metric.recorded_at.timestamp(), step=metric.step, summary=Summary(value=[value]))
        )
    writer.close()
    return len(records)


def _tag(name: str) -> str:
    """TensorBoard groups tags by the text before a slash: ``epoch`` for ``val_loss``, ``step`` for ``step/loss``."""
    return name if name.startswith(STEP_PREFIX) else f"epoch/{name}"
