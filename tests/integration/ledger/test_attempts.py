"""One attempt: claimed by one worker, renewed and committed by the current attempt alone."""

from __future__ import annotations

import json
from dataclasses import replace
from functools import partial
from uuid import uuid4

import psycopg
import pyarrow as pa
import pytest

from longshore.shared.errors import AttemptLost
from longshore.shared.ledger.ledger import Ledger
from longshore.shared.ledger.records import Claim
from longshore.shared.ledger.shards.copy_rows import result_lines
from longshore.shared.vocabulary import State
from tests.integration.support import (
    LEASE,
    claim,
    commit,
    expire,
    lines,
    new_job,
    rows_of,
    run,
    states_of,
    submit,
    together,
    write_and_break,
)


def write(ledger: Ledger, of: Claim, times: int) -> None:
    """Write every row so often, and pass the fence without finishing."""
    with ledger.attempts.writing(of) as writer:
        for _ in range(times):
            writer.results(lines(of))
        writer.fence(2 * times)


def test_a_claim_says_all_that_a_worker_needs(ledger: Ledger) -> None:
    new = new_job(2, 3, version=7, queue="gpu", priority=9, max_attempts=5)
    ledger.submissions.submit([new])
    assert vars(claim(ledger, new.id, 1)) == {
        **{"job_id": new.id, "shard": 1, "attempt": 1, "attempt_limit": 5, "action": "infer", "start": 2, "stop": 5},
        **{"offset": None, "length": None, "kind": "infer", "model": "digits", "version": 7, "digest": new.digest},
        **{"spec": {"data": {"uri": "file:///rows.parquet", "format": "parquet"}}, "rows_per_shard": None},
        **{
            "max_attempts": 5,
            "producer": "tests",
            "queue": "gpu",
            "priority": 9,
            "only_failed": False,
            "failed_before": False,
            "output_file": None,
        },
        "batch_key": None,
    }
    job = ledger.queries.job(new.id)
    assert job.state is State.RUNNING
    assert job.started_at is not None
    assert [shard.worker for shard in ledger.queries.shards(new.id)] == [None, "cpu:0@tests"]


def test_only_one_of_many_gets_a_shard(ledger: Ledger) -> None:
    job = submit(ledger, 1, 1, 1)

    def claim_all(worker: str) -> list[Claim]:
        found = [ledger.attempts.claim(job, shard, worker=worker, lease=LEASE) for shard in range(3)]
        return [each for each in found if each is not None]

    claims = [each for found in together(*[partial(claim_all, name) for name in "abcdef"]) for each in found]
    assert sorted(each.shard for each in claims) == [0, 1, 2]
    assert {each.attempt for each in claims} == {1}


def test_a_stale_ticket_leads_to_nothing(ledger: Ledger) -> None:
    job = submit(ledger, 1)
    assert ledger.attempts.claim(uuid4(), 0, worker="a", lease=LEASE) is None
    assert ledger.attempts.claim(job, 1, worker="a", lease=LEASE) is None
    run(ledger, job)
    assert ledger.attempts.claim(job, 0, worker="a", lease=LEASE) is None


def test_a_commit_shows_all_rows_at_once(ledger: Ledger) -> None:
    job = submit(ledger, 2, 3)
    run(ledger, job, 1)
    found = ledger.queries.job(job)
    assert rows_of(ledger, job) == [2, 3, 4]
    assert (found.state, found.rows_done, found.shards_done) == (State.RUNNING, 3, 1)

    second = claim(ledger, job, 0)
    with ledger.attempts.writing(second) as writer:
        writer.results(lines(second))
        writer.fence(2)
        assert rows_of(ledger, job) == [2, 3, 4]
        writer.finish({"note": "done"})
    found = ledger.queries.job(job)
    assert rows_of(ledger, job) == [0, 1, 2, 3, 4]
    assert (found.state, found.rows_done, found.shards_done, found.error) == (State.SUCCEEDED, 5, 2, None)
    assert found.outcome == {"note": "done"}
    assert found.finished_at is not None


@pytest.mark.parametrize("ending", ["lease ran out", "claimed again", "cancelled", "committed before"])
def test_only_the_current_attempt_can_go_on(ledger: Ledger, ending: str) -> None:
    job = submit(ledger, 2)
    old = claim(ledger, job)
    if ending == "cancelled":
        ledger.control.cancel(job)
    elif ending == "committed before":
        commit(ledger, old)
    else:
        expire(ledger, job)
        if ending == "claimed again":
            claim(ledger, job)
    before = ledger.queries.shards(job), ledger.queries.job(job), rows_of(ledger, job)

    assert ledger.attempts.renew(old, lease=LEASE, rows=1, changed=True) is False
    assert ledger.attempts.release(old) is False
    assert ledger.attempts.fail(old, "too late", permanent=False) is None
    assert ledger.attempts.fail(old, "too late", permanent=True) is None
    with pytest.raises(AttemptLost, match=old.token):
        ledger.attempts.record_metrics(old, 0, {"loss": 1.0})
    with pytest.raises(AttemptLost, match=old.token):
        ledger.attempts.plan(old, [], rows_total=0)
    with pytest.raises(AttemptLost, match=old.token):
        commit(ledger, old)

    assert (ledger.queries.shards(job), ledger.queries.job(job), rows_of(ledger, job)) == before


def test_an_attempt_that_was_never_claimed_has_no_power(ledger: Ledger) -> None:
    job = submit(ledger, 2)
    current = claim(ledger, job)
    with pytest.raises(AttemptLost):
        commit(ledger, replace(current, attempt=2))
    commit(ledger, current)


def test_what_is_left_without_finish_leaves_nothing(ledger: Ledger) -> None:
    job = submit(ledger, 2)
    current = claim(ledger, job)
    write_and_break(ledger, current)
    with pytest.raises(RuntimeError, match="without finish"):
        write(ledger, current, times=1)
    assert states_of(ledger, job) == ["running"]
    assert rows_of(ledger, job) == []
    commit(ledger, current)
    assert rows_of(ledger, job) == [0, 1]


def test_a_row_twice_in_one_attempt_is_not_taken_for_a_lost_one(ledger: Ledger) -> None:
    job = submit(ledger, 2)
    current = claim(ledger, job)
    with pytest.raises(psycopg.errors.UniqueViolation):
        write(ledger, current, times=2)
    assert rows_of(ledger, job) == []


def test_renewing_keeps_the_lease_and_reports_progress(ledger: Ledger) -> None:
    job = submit(ledger, 4)
    current = ledger.attempts.claim(job, 0, worker="a", lease=0.001)
    assert current is not None
    assert ledger.attempts.renew(current, lease=LEASE, rows=3, changed=True) is True
    assert ledger.maintenance.expire_leases() == 0
    assert ledger.queries.job(job).rows_running == 3

    assert expire(ledger, job) == 1
    assert ledger.queries.job(job).rows_running == 0


def test_an_attempt_takes_back_what_earlier_ones_reported_of_what_it_does_again(ledger: Ledger) -> None:
    job = ledger.submissions.submit([new_job(1, kind="train", version=None)])[0]
    first = claim(ledger, job)
    ledger.attempts.record_metrics(first, 0, {"loss": 2.0, "accuracy": 0.25})
    ledger.attempts.record_metrics(first, 1, {"loss": 1.0})
    found = [(each.step, each.name, each.value) for each in ledger.queries.metrics(job)]
    assert found == [(0, "accuracy", 0.25), (0, "loss", 2.0), (1, "loss", 1.0)]

    ledger.attempts.record_metrics(first, 90, {"step/loss": 1.5})
    ledger.attempts.record_metrics(first, 110, {"step/loss": 1.25})
    expire(ledger, job)
    second = claim(ledger, job)
    # It goes on in epoch 1, from step 100.
    ledger.checkpoints.rewind(second, step=100, epochs=0)
    found = [(each.step, each.name, each.value) for each in ledger.queries.metrics(job)]
    assert found == [(0, "accuracy", 0.25), (0, "loss", 2.0), (90, "step/loss", 1.5)]
    ledger.attempts.record_metrics(second, 1, {"loss": 0.5})
    with pytest.raises(AttemptLost):
        ledger.checkpoints.rewind(first, step=0, epochs=0)
    with pytest.raises(AttemptLost):
        ledger.checkpoints.add(first, step=120, epoch=1, blob="sha256:0", size_bytes=1, keep=1)
    found = [(each.step, each.name, each.value) for each in ledger.queries.metrics(job)]
    assert found == [(0, "accuracy", 0.25), (0, "loss", 2.0), (1, "loss", 0.5), (90, "step/loss", 1.5)]


def test_the_newest_checkpoints_are_kept(ledger: Ledger) -> None:
    job = ledger.submissions.submit([new_job(1, kind="train", version=None)])[0]
    own = claim(ledger, job)
    assert ledger.checkpoints.newest(job) is None
    gone = [
        ledger.checkpoints.add(own, step=step, epoch=1, blob=f"sha256:{step}", size_bytes=step, keep=2)
        for step in (10, 20, 30, 40)
    ]
    assert gone == [[], [], ["sha256:10"], ["sha256:20"]]
    newest = ledger.checkpoints.newest(job)
    assert newest is not None
    assert (newest.step, newest.blob, newest.size_bytes) == (40, "sha256:40", 40)
    assert {"sha256:30", "sha256:40"} <= ledger.queries.named_blobs()
    assert ledger.checkpoints.prune(job, 0) == ["sha256:30", "sha256:40"]
    assert ledger.checkpoints.newest(job) is None


def test_any_json_comes_back_as_it_was(ledger: Ledger) -> None:
    outputs = [json.dumps(value) for value in ({"a\\b": 'q"\t\n\\N'}, "größe \\. \U0001f6a2", [1, None, 0.5], "\\")]
    job = submit(ledger, len(outputs))
    current = claim(ledger, job)
    with ledger.attempts.writing(current) as writer:
        # In two batches, as a pipeline sends them.
        for start in (0, 2):
            rows, texts = pa.array([start, start + 1], pa.int64()), pa.array(outputs[start : start + 2], pa.string())
            writer.results(result_lines(job, rows, texts))
        writer.fence(len(outputs))
        writer.finish()
    assert [json.loads(record.output) for record in ledger.queries.results(job)] == [
        json.loads(text) for text in outputs
    ]
