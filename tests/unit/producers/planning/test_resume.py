"""What the owner of a training that cannot be extended is told to do instead."""

from __future__ import annotations

from dataclasses import replace
from uuid import uuid4

import pytest

from longshore.producers.planning.resume import extension
from longshore.shared.errors import InvalidInput
from longshore.shared.ledger.records import CheckpointRecord
from longshore.shared.specs.jobs import InlineInput
from longshore.shared.specs.train import TrainSpec
from longshore.shared.vocabulary import State
from tests.unit.producers.reporting.metric_records import NOW
from tests.unit.producers.reporting.test_best_epoch import job


@pytest.mark.parametrize(
    ("family", "instead"),
    [
        ("mlp", "train from its version with base=, and another learning rate or more data"),
        ("lightgbm", "train anew, with a larger early_stopping, another config.learning_rate or more data"),
    ],
)
def test_a_training_that_stopped_early_is_not_extended(family: str, instead: str) -> None:
    data = InlineInput(block="b", offset=0, rows=100)
    spec = TrainSpec(model="m", family=family, data=data, target="y", epochs=20, early_stopping=3)
    record = replace(job(), id=uuid4(), state=State.SUCCEEDED, spec=spec.model_dump(mode="json"))
    last = CheckpointRecord(job_id=record.id, step=1, attempt=1, epoch=8, blob="b", size_bytes=1, created_at=NOW)
    with pytest.raises(InvalidInput) as refused:
        extension(record, last, 5)
    assert str(refused.value).endswith(f"stopped early, after epoch 7 of 20, because it no longer improved; {instead}")
    if family == "lightgbm":
        with pytest.raises(InvalidInput, match=r"^base: "):
            TrainSpec(model="m", family=family, data=data, target="y", base="m:1").check()
