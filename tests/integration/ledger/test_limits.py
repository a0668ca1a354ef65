"""What is too large is refused at once, with the limit; what is large is no trouble."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pyarrow as pa
import pytest

from longshore.producers.planning.inline_rows import InputBlocks
from longshore.shared import limits
from longshore.shared.errors import InvalidInput
from longshore.shared.ledger.jobs.cancel_retry import MAX_TICKETS
from longshore.shared.ledger.ledger import Ledger
from longshore.shared.ledger.records import NewShard
from longshore.shared.settings import load_settings
from longshore.shared.store.store import Store
from tests.integration.support import claim, new_job


def test_a_producer_s_name_is_limited() -> None:
    variables = {
        "LONGSHORE_REDIS_URL": "redis://x",
        "LONGSHORE_DATABASE_URL": "postgresql://x",
        "LONGSHORE_STORE": "/x",
    }
    with pytest.raises(InvalidInput, match="producer: 5,000 characters; must have 1 to 200"):
        load_settings(producer="x" * 5000, environ=variables)
    assert load_settings(producer="ü" * 200, environ=variables).producer == "ü" * 200


def test_the_longest_names_fit_the_index(ledger: Ledger) -> None:
    # Characters of four bytes, in no order that could be compressed.
    letters = [chr(0x20000 + (number * 7919) % 40000) for number in range(400)]
    new = new_job(1, producer="".join(letters[:200]), key="".join(letters[200:]), request="a")
    assert ledger.submissions.submit([new]) == [new.id]


def test_options_and_shards_are_limited(ledger: Ledger, monkeypatch: pytest.MonkeyPatch) -> None:
    large = replace(new_job(1), spec=f'{{"keep": "{"x" * limits.MAX_SPEC_BYTES}"}}')
    with pytest.raises(InvalidInput, match=r"options: 1,048,5\d\d bytes as JSON, and at most 1,048,576"):
        ledger.submissions.submit([large])
    monkeypatch.setattr(limits, "MAX_SHARDS", 2)
    with pytest.raises(InvalidInput, match="rows_per_shard: makes 3 shards, and a job has at most 2"):
        ledger.submissions.submit([new_job(1, 1, 1)])
    assert ledger.queries.jobs() == []


def test_the_shards_of_a_plan_are_limited(ledger: Ledger, monkeypatch: pytest.MonkeyPatch) -> None:
    [job] = ledger.submissions.submit([new_job()])
    planning = claim(ledger, job)
    monkeypatch.setattr(limits, "MAX_SHARDS", 2)
    shards = [NewShard(action="infer", start=row, stop=row + 1) for row in range(3)]
    with pytest.raises(InvalidInput, match="rows_per_shard: makes 3 shards, and a job has at most 2"):
        ledger.attempts.plan(planning, shards, 3)
    assert len(ledger.queries.shards(job)) == 1
    ledger.attempts.plan(planning, shards[:2], 2)
    assert len(ledger.queries.shards(job)) == 3


def test_rows_in_memory_are_limited(monkeypatch: pytest.MonkeyPatch, tmp_path: object) -> None:
    monkeypatch.setattr(limits, "MAX_INLINE_BYTES", 800)
    table = pa.table({"x": np.arange(101.0)})
    blocks = InputBlocks(lambda: Store(str(tmp_path)))
    with pytest.raises(InvalidInput, match="data: 808 bytes of rows in memory, and at most 800"):
        blocks.take(table, [101])
    # Each request by itself.
    assert len(blocks.take(table, [50, 51])) == 2


def test_many_shards_that_run_again_are_left_to_the_relay(ledger: Ledger) -> None:
    shards = [NewShard(action="infer", start=row, stop=row + 1) for row in range(MAX_TICKETS + 1)]
    new = replace(new_job(1), shards=shards)
    ledger.submissions.submit([new])
    ledger.control.cancel(new.id)
    with ledger.database.own_connection() as conn:
        listener = ledger.notifications.tickets(conn)
        assert ledger.control.retry(new.id) == []
        while not listener.wait(5):
            pass
    assert len(ledger.maintenance.unpublished(grace=0)) == MAX_TICKETS + 1
