"""When small shards wait for others unasked."""

from __future__ import annotations

import time
from uuid import uuid4

import pytest

from longshore.shared.ledger.records import Claim
from longshore.shared.ledger.shards.batching import MAX_BATCH_SHARDS
from longshore.workers.batching.delay import MAX_DELAY_S, BatchDelay
from longshore.workers.process.draining import Draining


class Watched(Draining):
    """Tells what was waited."""

    def __init__(self) -> None:
        super().__init__()
        self.waits: list[float] = []

    def wait(self, seconds: float) -> bool:
        self.waits.append(seconds)
        return super().wait(0)


@pytest.fixture(autouse=True)
def _no_time_passes(monkeypatch: pytest.MonkeyPatch) -> None:
    now = time.monotonic()
    monkeypatch.setattr(time, "monotonic", lambda: now)


def claimed(count: int) -> list[Claim]:
    return [
        Claim(
            job_id=uuid4(),
            shard=0,
            attempt=1,
            attempt_limit=3,
            action="infer",
            start=0,
            stop=1,
            offset=None,
            length=None,
            kind="infer",
            model="m",
            version=1,
            digest="d",
            spec={},
            rows_per_shard=None,
            max_attempts=3,
            producer="p",
            queue="cpu",
            priority=4,
            batch_key="c",
            only_failed=False,
            output_file=None,
        )
        for _ in range(count)
    ]


@pytest.mark.parametrize(
    ("together", "waits"),
    [(0, []), (1, []), (2, [0.01]), (MAX_BATCH_SHARDS - 1, [0.01]), (MAX_BATCH_SHARDS, [])],
)
def test_only_after_several_that_left_room(together: int, waits: list[float]) -> None:
    delay, draining = BatchDelay(), Watched()
    delay.wait(draining)
    delay.record(claimed(together), 0.01)
    delay.wait(draining)
    assert draining.waits == waits


def test_not_when_it_has_been_quiet_for_a_while(monkeypatch: pytest.MonkeyPatch) -> None:
    delay, draining = BatchDelay(), Watched()
    delay.record(claimed(2), 0.01)
    later = time.monotonic() + 1
    monkeypatch.setattr(time, "monotonic", lambda: later)
    delay.wait(draining)
    assert draining.waits == []


def test_as_long_as_the_batch_before_took_and_not_longer_than_the_most() -> None:
    delay, draining = BatchDelay(), Watched()
    for seconds in (0.002, 0.02, 5):
        delay.record(claimed(3), seconds)
        delay.wait(draining)
    assert draining.waits == [0.002, 0.02, MAX_DELAY_S]
