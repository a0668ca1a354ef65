"""Why a job is in its state, for every state, on a ledger whose workers are the tests."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from uuid import UUID

import pytest

from longshore.producers.job import Job
from longshore.producers.reporting.activity.why import Why
from longshore.shared.ledger.jobs.submission import tickets_of
from longshore.shared.ledger.ledger import Ledger
from longshore.shared.ledger.locks import RELAY_LOCK
from longshore.shared.ledger.records import NewJob, Ticket
from longshore.shared.ledger.statements import sessions
from longshore.shared.ledger.workers import Presence
from tests.integration.support import claim, commit, new_job, submit

CPU = Presence(name="cpu:0@tests", device="cpu:0", queue="cpu", host="tests", pid=1, families=["mlp"])
GPU = replace(CPU, name="cuda:0@tests", device="cuda:0", queue="gpu", pid=2)


def why(ledger: Ledger, job: UUID) -> Why:
    def unused(_: Sequence[Ticket]) -> None:
        raise AssertionError("nothing is published")

    return Job(job, ledger, unused).why()


def training(epochs: int, family: str = "mlp", devices: int = 1, queue: str = "cpu") -> NewJob:
    spec = f'{{"family": "{family}", "epochs": {epochs}, "devices": {devices}}}'
    new = new_job(epochs, kind="train", model="cifar", version=None, queue=queue)
    return replace(new, spec=spec)


def age(ledger: Ledger, seconds: int) -> None:
    """Make all that was submitted and published older."""
    values = {"age": seconds}
    with ledger.database.connection() as conn:
        conn.execute("UPDATE jobs SET created_at = created_at - make_interval(secs => %(age)s)", values)
        conn.execute("UPDATE shards SET published_at = published_at - make_interval(secs => %(age)s)", values)


def publish(ledger: Ledger, *jobs: NewJob) -> None:
    ledger.submissions.submit(jobs)
    for new in jobs:
        values: Mapping[str, object] = {
            "jobs": [ticket.job_id for ticket in tickets_of([new])],
            "shards": [ticket.shard for ticket in tickets_of([new])],
        }
        with ledger.database.connection() as conn:
            conn.execute(
                "UPDATE shards SET published_at = now(), message_id = job_id WHERE job_id = ANY(%(jobs)s)", values
            )


def test_no_worker_is_alive(ledger: Ledger) -> None:
    cpu, gpu = new_job(1), training(3, queue="gpu")
    ledger.submissions.submit([cpu, gpu])
    assert why(ledger, cpu.id).reason == "no worker is alive"
    ledger.workers.see(CPU)
    found = why(ledger, gpu.id)
    assert found.reason == "no gpu worker is alive"
    assert [str(step) for step in found.next] == [
        "to start one: longshore worker --devices cuda",
        "to see what has become of them: longshore status",
    ]
    with ledger.database.connection() as conn:
        conn.execute("UPDATE workers SET seen_at = now() - interval '10 minutes'")
    assert why(ledger, cpu.id).reason.startswith("no worker is alive; cpu:0@tests was seen 10m ")


def test_no_worker_has_what_it_needs(ledger: Ledger) -> None:
    ledger.workers.see(GPU)
    family, devices = training(3, family="catboost"), training(3, devices=2, queue="gpu")
    ledger.submissions.submit([family, devices])
    assert why(ledger, family.id).reason == (
        "none of the live workers can take it (they cannot train the family catboost)"
    )
    found = why(ledger, devices.id)
    assert found.reason == "none of the live workers can take it (they have fewer than 2 GPUs)"
    assert [step.command for step in found.next] == ["longshore worker --devices cuda:0+cuda:1"]


def test_the_only_worker_is_busy(ledger: Ledger) -> None:
    ledger.workers.see(CPU)
    busy, first, second = training(40), training(3), training(3)
    publish(ledger, busy, first, second)
    attempt = claim(ledger, busy.id)
    ledger.attempts.renew(attempt, lease=600.0, rows=6, changed=True)
    found = why(ledger, second.id)
    assert found.reason.startswith(f"1 worker can take it, busy with {busy.id} (train cifar, epoch 7 of 40, about ")
    assert found.reason.endswith(" left)")
    assert found.details == ("1 job (1 shard) ahead of it in the cpu queue, priority 4",)
    assert why(ledger, first.id).details == ("nothing is ahead of it in the cpu queue, priority 4",)
    running = why(ledger, busy.id)
    assert running.reason.startswith("it runs on cpu:0@tests, epoch 7 of 40, about ")


def test_shards_that_are_more_urgent_or_older_are_ahead(ledger: Ledger) -> None:
    ledger.workers.see(CPU)
    job = new_job(1)
    publish(ledger, new_job(1, 1), new_job(1, queue="gpu"), job)
    publish(ledger, new_job(1, 1, 1, priority=9), new_job(1, priority=0), new_job(1))
    ledger.submissions.submit([new_job(1, priority=8), new_job(1, priority=8, queue="gpu"), new_job(1)])
    assert why(ledger, job.id).details == ("3 jobs (6 shards) ahead of it in the cpu queue, priority 4",)


def test_a_free_worker_takes_it_at_once_or_redis_is_away(ledger: Ledger) -> None:
    ledger.workers.see(CPU)
    new = new_job(1)
    publish(ledger, new)
    assert why(ledger, new.id).reason == "cpu:0@tests can take it and is free: it starts in a moment"
    age(ledger, 80)
    found = why(ledger, new.id)
    assert found.reason.startswith("cpu:0@tests can take it and is free, but has not done so for 1m ")
    assert found.reason.endswith(": is Redis away?")
    assert [step.command for step in found.next] == ["longshore doctor"]


def test_no_relay_publishes_it(ledger: Ledger) -> None:
    ledger.workers.see(CPU)
    new = new_job(1)
    ledger.submissions.submit([new])
    age(ledger, 90)
    assert why(ledger, new.id).reason == "no relay is running, which publishes what waits"
    with ledger.database.own_connection() as conn:
        conn.execute(sessions.LOCK, {"key": RELAY_LOCK})
        assert "can take it" in why(ledger, new.id).reason


def test_an_outage_and_a_failed_attempt(ledger: Ledger) -> None:
    ledger.workers.see(CPU)
    job = submit(ledger, 1)
    ledger.attempts.defer(claim(ledger, job), "the store does not answer", missing=False)
    with ledger.database.connection() as conn:
        conn.execute("UPDATE shards SET not_before = now() + interval '20 seconds'")
    found = why(ledger, job)
    assert found.reason.startswith("no worker has it now; it waits for the end of an outage and tries again in ")
    assert found.reason.endswith("s: the store does not answer")
    assert "shard 0 was handed back because of 1 outage: no failed attempts" in found.details
    with ledger.database.connection() as conn:
        conn.execute("UPDATE shards SET not_before = NULL")
    ledger.attempts.fail(claim(ledger, job), "CUDA ran out of memory", permanent=False)
    with ledger.database.connection() as conn:
        conn.execute("UPDATE shards SET not_before = now() + interval '20 seconds'")
    found = why(ledger, job)
    assert found.reason.startswith("no worker has it now; attempt 2 of 4 failed, and the next one starts in ")
    assert [(each.attempt, each.worker, each.error) for each in found.failures] == [
        (2, "cpu:0@tests", "CUDA ran out of memory")
    ]
    assert "attempt 2 at shard 0 on cpu:0@tests failed: CUDA ran out of memory" in str(found)


def test_it_waits_for_another_job(ledger: Ledger) -> None:
    ledger.workers.see(CPU)
    first = training(40)
    second = new_job(1, kind="evaluate", version=None, depends_on=first.id)
    third = new_job(1, kind="evaluate", version=None, depends_on=second.id)
    ledger.submissions.submit([first, second, third])
    found = why(ledger, third.id)
    assert found.reason.startswith(f"it waits for {first.id} (train cifar), which is queued: cpu:0@tests can take it")
    claim(ledger, first.id)
    found = why(ledger, third.id)
    assert found.reason == f"it waits for {first.id} (train cifar, epoch 1 of 40)"
    assert found.details[0].startswith("it runs on cpu:0@tests")
    ledger.control.cancel(first.id)
    ledger.chains.advance()
    found = why(ledger, third.id)
    assert found.state == "cancelled"
    assert [step.command for step in found.next] == [f"longshore jobs retry {first.id}"]


def test_a_silent_worker_holds_it(ledger: Ledger) -> None:
    ledger.workers.see(CPU)
    job = submit(ledger, 1, 1)
    claim(ledger, job)
    with ledger.database.connection() as conn:
        conn.execute("UPDATE shards SET lease_until = now() - interval '1 minute' WHERE state = 'running'")
    found = why(ledger, job)
    assert "cpu:0@tests had shards of it and is silent; other workers get them within a minute" in found.details
    assert "0 of 2 shards are done" in found.details


def test_the_next_shard_of_a_long_job_is_found_where_it_is(ledger: Ledger) -> None:
    ledger.workers.see(CPU)
    job, done, total = submit(ledger, 1), 11_000, 12_000
    with ledger.database.connection() as conn:
        conn.execute(
            """INSERT INTO shards (job_id, index, action, state, queue, priority, start, stop, attempt_limit)
               SELECT %s, n, 'infer', 'queued', 'cpu', 4, n, n + 1, 3 FROM generate_series(1, %s - 1) AS n""",
            [job, total],
        )
        conn.execute("UPDATE shards SET state = 'succeeded' WHERE index < %s", [done])
        conn.execute("UPDATE jobs SET state = 'running', shards_done = %s, shards_total = %s", [done, total])
    found = why(ledger, job)
    assert found.reason == "no worker has it now; cpu:0@tests can take it and is free: it starts in a moment"
    assert found.details[0] == "11,000 of 12,000 shards are done"
    shard = ledger.activity.next_shard(job, done)
    assert shard is not None
    assert shard.index == done


def test_how_it_ended_and_what_next(ledger: Ledger) -> None:
    ledger.workers.see(CPU)
    well, ill, rows = submit(ledger, 1), submit(ledger, 1, max_attempts=1), submit(ledger, 2)
    commit(ledger, claim(ledger, well))
    found = why(ledger, well)
    assert found.reason.startswith("it succeeded in ")
    assert [step.command for step in found.next] == [f"longshore results {well}"]

    ledger.attempts.fail(claim(ledger, ill), "the model is damaged", permanent=True)
    found = why(ledger, ill)
    assert found.reason.startswith("it failed")
    assert "the model is damaged" in found.reason
    assert [each.error for each in found.failures] == ["the model is damaged"]
    assert [step.command for step in found.next] == [f"longshore jobs retry {ill}"]

    commit(ledger, claim(ledger, rows), {1: "x is NaN"})
    found = why(ledger, rows)
    assert [step.command for step in found.next] == [
        f"longshore jobs show {rows}",
        f"longshore jobs retry {rows} --rows failed",
    ]


def test_a_cancelled_job_can_run_its_failed_rows_or_leave_them(ledger: Ledger) -> None:
    job = submit(ledger, 2, 2)
    commit(ledger, claim(ledger, job), {1: "x is NaN"})
    ledger.control.cancel(job)
    assert [step.command for step in why(ledger, job).next] == [
        f"longshore jobs show {job}",
        f"longshore jobs retry {job}",
        f"longshore jobs retry {job} --rows failed",
    ]


def test_a_cancelled_training_names_its_checkpoint(ledger: Ledger) -> None:
    new = training(40)
    ledger.submissions.submit([new])
    attempt = claim(ledger, new.id)
    ledger.checkpoints.add(attempt, step=70, epoch=7, blob="sha256:1", size_bytes=1, keep=1)
    ledger.control.cancel(new.id)
    found = why(ledger, new.id)
    assert found.reason.startswith("it was cancelled")
    assert found.details == ("the checkpoint saved in epoch 7 of 40 is kept, and a retry goes on from it",)
    assert [step.command for step in found.next] == [f"longshore jobs retry {new.id}"]
    ledger.control.retry(new.id)
    ledger.workers.see(CPU)
    assert "the checkpoint saved in epoch 7 of 40 is kept, and it goes on from it" in why(ledger, new.id).details


def test_a_cancelled_training_says_how_far_it_was(ledger: Ledger) -> None:
    new, child = training(40), training(50)
    child = replace(child, spec=child.spec.replace("{", f'{{"extends": "{new.id}", ', 1))
    ledger.submissions.submit([new, child])
    attempt = claim(ledger, new.id)
    for epoch in (1, 2, 3):
        ledger.attempts.record_metrics(attempt, epoch, {"train_loss": 1.0})
    ledger.attempts.record_metrics(attempt, 300, {"step/learning_rate": 0.1})
    ledger.control.cancel(new.id)
    summary = "it was cancelled after epoch 3 of 40; it has no checkpoint, so a retry begins with epoch 1"
    assert why(ledger, new.id).summary == summary
    ledger.checkpoints.add(claim(ledger, child.id), step=70, epoch=51, blob="sha256:1", size_bytes=1, keep=1)
    assert ledger.queries.job(child.id).extends == new.id
    ledger.control.cancel(child.id)
    assert why(ledger, child.id).details == (
        "the checkpoint after its last epoch is kept, and a retry goes on from it",
    )


@pytest.mark.parametrize("limit", [None, 5])
def test_the_limit_of_its_producer(ledger: Ledger, limit: int | None) -> None:
    ledger.producer_limits.set("tests", limit)
    try:
        found = why(ledger, submit(ledger, 1))
        assert found.details == (() if limit is None else ("tests has 1 of the 5 jobs that it may have",))
    finally:
        ledger.producer_limits.set("tests", None)
