"""What comes out of Redis: the most urgent first, and nothing in it but names of shards."""

from __future__ import annotations

import random

from celery import Celery
from kombu.message import Message as Delivered

from longshore.broker.publishing import publish
from longshore.shared.ledger.jobs.submission import tickets_of
from longshore.shared.ledger.ledger import Ledger
from longshore.shared.ledger.records import NewJob
from longshore.shared.ledger.shards.batching import MAX_BATCH_SHARDS
from tests.integration.support import new_job
from tests.waiting import TIMEOUT_S


def publish_jobs(app: Celery, ledger: Ledger, *jobs: NewJob) -> None:
    ledger.submissions.submit(jobs)
    publish(app, ledger, tickets_of(jobs))


def consume(app: Celery, count: int, *queues: str) -> list[Delivered]:
    """Take so many messages as a worker does: one at a time, each answered before the next."""
    found: list[Delivered] = []

    def keep(message: Delivered) -> None:
        found.append(message)
        message.ack()  # type: ignore[no-untyped-call]

    with app.connection_for_read() as connection:
        wanted = [app.amqp.queues[queue] for queue in queues]
        with connection.Consumer(wanted, on_message=keep, prefetch_count=1, accept=["msgpack"]):
            while len(found) < count:
                connection.drain_events(timeout=TIMEOUT_S)
    return found


def jobs_of(messages: list[Delivered]) -> list[str]:
    return [name[0] for message in messages for name in message.payload[0][0]]


def test_nine_comes_first_and_equals_in_their_order(app: Celery, ledger: Ledger) -> None:
    priorities = [*range(10)] * 3
    random.Random(0).shuffle(priorities)
    jobs = [new_job(1, kind="train", version=None, priority=priority) for priority in priorities]
    for start in range(0, len(jobs), 7):
        publish_jobs(app, ledger, *jobs[start : start + 7])

    expected = [str(job.id) for job in sorted(jobs, key=lambda job: -job.priority)]
    assert jobs_of(consume(app, len(jobs), "cpu")) == expected


def test_what_the_relay_publishes_is_ordered_too(app: Celery, ledger: Ledger) -> None:
    jobs = [new_job(1, kind="train", version=None, priority=priority) for priority in (4, 9, 0, 5, 9, 4)]
    ledger.submissions.submit(jobs)
    publish(app, ledger, ledger.maintenance.unpublished(grace=0))
    expected = [str(job.id) for job in sorted(jobs, key=lambda job: -job.priority)]
    assert jobs_of(consume(app, len(jobs), "cpu")) == expected


def test_a_gpu_worker_takes_its_own_before_equals_for_the_cpu(app: Celery, ledger: Ledger) -> None:
    wanted = [("cpu", 4), ("gpu", 4), ("gpu", 4), ("cpu", 9), ("gpu", 0)]
    jobs = [new_job(1, kind="train", version=None, queue=queue, priority=priority) for queue, priority in wanted]
    publish_jobs(app, ledger, *jobs)
    order = [jobs[index] for index in (3, 1, 2, 0, 4)]
    assert jobs_of(consume(app, len(jobs), "gpu", "cpu")) == [str(job.id) for job in order]


def test_a_message_holds_names_of_shards_and_a_line_for_people(app: Celery, ledger: Ledger) -> None:
    job = new_job(4096, 2000, version=3)
    training, planning = new_job(1, kind="train", version=None), new_job(version=3)
    publish_jobs(app, ledger, job, training, planning)
    first, second, third, fourth = consume(app, 4, "cpu")

    assert (first.content_type, first.content_encoding) == ("application/x-msgpack", "binary")
    args, kwargs, embedded = first.payload
    assert (args, kwargs) == ([[[str(job.id), 0]]], {})
    assert set(embedded.values()) == {None}
    assert second.payload[0] == [[[str(job.id), 1]]]

    lines = [(message.headers["task"], message.headers["argsrepr"]) for message in (first, second, third, fourth)]
    assert lines == [
        ("longshore.infer", f"{job.id} digits:3 rows 0-4096"),
        ("longshore.infer", f"{job.id} digits:3 rows 4096-6096"),
        ("longshore.train", f"{training.id} train digits"),
        ("longshore.plan", f"{planning.id} plan digits:3"),
    ]
    for message in (first, second, third, fourth):
        assert message.headers["kwargsrepr"] == ""
        assert "parquet" not in f"{message.headers}{message.properties}"
        assert b"parquet" not in bytes(message.body)


def test_small_jobs_of_one_version_share_a_message(app: Celery, ledger: Ledger) -> None:
    jobs = [new_job(1, version=3) for _ in range(MAX_BATCH_SHARDS + 1)]
    publish_jobs(app, ledger, *jobs)
    first, second = consume(app, 2, "cpu")
    assert first.payload[0] == [[[str(job.id), 0] for job in jobs[:-1]]]
    assert first.headers["argsrepr"] == f"digits:3 {MAX_BATCH_SHARDS} shards of {MAX_BATCH_SHARDS} jobs"
    assert second.payload[0] == [[[str(jobs[-1].id), 0]]]
    assert second.headers["argsrepr"] == f"{jobs[-1].id} digits:3 rows 0-1"
