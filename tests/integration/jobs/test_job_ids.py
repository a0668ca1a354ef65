"""Finding jobs by the start of their id, and listing some of them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from uuid import UUID

import pytest

from longshore.producers.job_filter import job_filter
from longshore.producers.job_ids import LAST, find_job, short_ids
from longshore.producers.reporting.progress import progress_of
from longshore.shared.errors import AmbiguousJob, InvalidInput, UnknownJob
from longshore.shared.ledger.jobs.filter import ALL_JOBS, SORT_KEYS, JobOrder
from longshore.shared.ledger.ledger import Ledger
from longshore.shared.ledger.records import JobRecord
from longshore.shared.ledger.retention.uuid7_time import first_id
from tests.integration.support import claim, commit, new_job, run, submit

#: Ids that begin alike, and one that does not.
ALIKE = UUID("019ac1f2-7a31-774b-bcce-b302099a8057")
ALIKE_TOO = UUID("019ac1f2-7a31-774b-8cce-b302099a8057")
OTHER = UUID("019ac1f3-0000-774b-bcce-b302099a8057")


@pytest.fixture
def three(ledger: Ledger) -> list[UUID]:
    """Three jobs with ids of our choice."""

    jobs = [replace(new_job(1), id=id_) for id_ in (ALIKE, ALIKE_TOO, OTHER)]
    return ledger.submissions.submit(jobs)


@pytest.mark.parametrize(
    "text",
    [str(OTHER), OTHER.hex, "019ac1f3", "019AC1F3", "019ac1f3-0000-774b", "019ac1f300", LAST, OTHER],
)
def test_a_job_is_found_by_the_start_of_its_id(ledger: Ledger, three: list[UUID], text: str | UUID) -> None:
    assert find_job(ledger, text, "tests") == OTHER


def test_an_ambiguous_start_lists_the_candidates(ledger: Ledger, three: list[UUID]) -> None:
    with pytest.raises(AmbiguousJob) as caught:
        find_job(ledger, "019ac1f2-7a", "tests")
    first, *lines = str(caught.value).splitlines()
    assert first == "job: 019ac1f2-7a is the start of 2 ids; write more of it:"
    assert [line.split()[0] for line in lines] == ["019ac1f2-7a31-774b-b", "019ac1f2-7a31-774b-8"]
    assert "infer digits, queued" in lines[0]
    assert find_job(ledger, "019ac1f2-7a31-774b-b", "tests") == ALIKE


def test_many_candidates_are_not_all_listed(ledger: Ledger) -> None:
    job = submit(ledger, 1)
    for _ in range(11):
        submit(ledger, 1)
    with pytest.raises(AmbiguousJob, match="is the start of more than 10 ids") as caught:
        find_job(ledger, str(job)[:4], "tests")
    assert str(caught.value).count("\n") == 10


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("019", "'019' is too short; write at least 4 characters"),
        ("", "'' is not a job id"),
        ("churn", "'churn' is not a job id; write an id such as"),
        ("019ac1f2-7a31-774b-bcce-b302099a80570", "is not a job id"),
        ("ffff", "no job has an id that starts with ffff"),
        ("@newest", "'@newest' is not a job id"),
    ],
)
def test_what_is_no_job(ledger: Ledger, three: list[UUID], text: str, said: str) -> None:
    with pytest.raises(UnknownJob, match=f"^job: .*{said}"):
        find_job(ledger, text, "tests")


def test_last_is_the_newest_of_the_producer(ledger: Ledger, three: list[UUID]) -> None:
    mine = ledger.submissions.submit([new_job(1, producer="me@here")])[0]
    submit(ledger, 1)
    assert find_job(ledger, LAST, "me@here") == mine
    with pytest.raises(UnknownJob, match="@last: you@there has submitted no job"):
        find_job(ledger, LAST, "you@there")


def test_short_ids_are_as_long_as_it_takes(ledger: Ledger, three: list[UUID]) -> None:
    assert short_ids(ledger, [OTHER]) == {OTHER: "019ac1f3-0000"}
    alike = short_ids(ledger, three)
    assert set(alike.values()) == {"019ac1f2-7a31-774b-b", "019ac1f2-7a31-774b-8", "019ac1f3-0000-774b-b"}
    for job, text in alike.items():
        assert find_job(ledger, text, "tests") == job
    missing = UUID(int=7)
    assert short_ids(ledger, [missing]) == {missing: str(missing)}


def test_a_list_is_filtered_by_everything_at_once(ledger: Ledger) -> None:
    old = first_id(datetime.now(UTC) - timedelta(hours=3))

    past, other, trained, wanted = ledger.submissions.submit(
        [
            replace(new_job(1), id=old),
            new_job(1, producer="me@here", version=2),
            new_job(1, kind="train", version=None, model="cifar"),
            new_job(1, producer="me@here", version=3),
        ]
    )
    run(ledger, past)

    def listed(**values: object) -> list[UUID]:
        return [job.id for job in ledger.queries.jobs(job_filter(ledger, **values))]  # type: ignore[arg-type]

    assert listed() == [wanted, trained, other, past]
    assert listed(since="2h") == [wanted, trained, other]
    assert listed(model="cifar") == [trained]
    assert listed(model="digits:3") == [wanted]
    assert listed(producer="me@here", states=["queued", "running"]) == [wanted, other]
    assert listed(producer="me@here", before=wanted) == [other]
    assert listed(kinds=["train", "infer"], states=["succeeded", "queued"], since="1d") == [
        wanted,
        trained,
        other,
        past,
    ]
    assert [job.id for job in ledger.queries.jobs(ALL_JOBS, 2)] == [wanted, trained]


#: The value by which a column sorts, as the list shows it.
SHOWN: dict[str, Callable[[JobRecord], float | str | None]] = {
    "job": lambda job: str(job.id),
    "id": lambda job: str(job.id),
    "kind": lambda job: job.kind,
    "model": lambda job: f"{job.model}:{job.version or (job.outcome or {}).get('version') or 0:010}",
    "state": lambda job: job.state,
    "done": lambda job: progress_of(job).fraction,
    "progress": lambda job: progress_of(job).done,
    "left": lambda job: progress_of(job).remaining,
    "took": lambda job: None if job.started_at is None else progress_of(job).seconds,
    "failed": lambda job: job.rows_failed,
    "speed": lambda job: progress_of(job).rate,
    "tokens": lambda job: None if (rates := progress_of(job).token_rates) is None else rates.completion,
    "priority": lambda job: job.priority,
    "producer": lambda job: job.producer,
    "queue": lambda job: job.queue,
    "shards": lambda job: job.shards_total,
    "extends": lambda job: None if job.extends is None else str(job.extends),
    "submitted": lambda job: job.created_at.timestamp(),
    "started": lambda job: None if job.started_at is None else job.started_at.timestamp(),
    "ended": lambda job: None if job.finished_at is None else job.finished_at.timestamp(),
    "error": lambda job: job.error,
    "age": lambda job: -job.created_at.timestamp(),
}


@pytest.fixture
def varied(ledger: Ledger) -> list[UUID]:
    """Jobs that differ in everything; with equal values among them, and without a value."""
    new = [
        new_job(6, 4, priority=7),
        new_job(40, kind="train", version=None, model="cifar"),
        new_job(2, 3, 4, producer="me@here", queue="gpu", version=12),
        new_job(5, producer="me@here", version=3),
        new_job(8, max_attempts=1),
        new_job(3),
        new_job(3, kind="evaluate", priority=0),
        new_job(),
    ]
    jobs = ledger.submissions.submit(new)
    ledger.attempts.renew(claim(ledger, jobs[0]), lease=600.0, rows=2, changed=True)
    training = claim(ledger, jobs[1], worker="cpu:1@tests")
    for epoch in range(1, 8):
        ledger.attempts.record_metrics(training, epoch, {"train_loss": 1.0, "step/loss": 1.0})
    ledger.attempts.renew(training, lease=600.0, rows=7, changed=True)
    run(ledger, jobs[2])
    commit(ledger, claim(ledger, jobs[3]), {0: "x is NaN"})
    ledger.attempts.fail(claim(ledger, jobs[4]), "the model is damaged", permanent=True)
    ledger.control.cancel(jobs[5])
    with ledger.database.connection() as conn:  # to the second: they do not change places while they are compared
        conn.execute(
            "UPDATE jobs SET started_at = started_at - make_interval(secs => 1000 * shards_total + rows_total)"
        )
        for job, usage in zip(
            jobs[2:5], ('{"completion_tokens": 70}', '{"completion_tokens": 900}', "{}"), strict=True
        ):
            conn.execute("UPDATE jobs SET usage = %s WHERE id = %s", [usage, job])
        # By its epochs, and not by the time since its start, it is slower than the other job that runs.
        conn.execute("UPDATE metrics SET recorded_at = now() - make_interval(secs => 10000 * (8 - step))")
    assert progress_of(ledger.queries.job(jobs[1])).rate == pytest.approx(1e-4, rel=0.01)
    return jobs


def test_an_epoch_that_is_measured_twice_has_no_speed(ledger: Ledger) -> None:
    (job,) = ledger.submissions.submit([new_job(2, kind="train", version=None)])
    attempt = claim(ledger, job)
    for name in ("train_loss", "test_loss"):  # each in a transaction of its own
        ledger.attempts.record_metrics(attempt, 1, {name: 1.0})
    ledger.attempts.renew(attempt, lease=600.0, rows=1, changed=True)
    assert ledger.queries.job(job).progress_span is None
    assert progress_of(ledger.queries.job(job)).rate is not None
    ledger.attempts.record_metrics(attempt, 2, {"train_loss": 1.0})
    ledger.attempts.renew(attempt, lease=600.0, rows=2, changed=True)
    epochs, seconds, waited = ledger.queries.job(job).progress_span or []
    assert epochs == 1
    assert seconds > 0
    assert waited >= 0


@pytest.mark.parametrize("descending", [False, True])
@pytest.mark.parametrize("key", SORT_KEYS)
def test_all_jobs_are_sorted_and_not_only_a_page_of_them(
    ledger: Ledger, varied: list[UUID], key: str, descending: bool
) -> None:
    order = JobOrder(key=key, descending=descending)
    newest_first = ledger.queries.jobs()
    known = [job for job in newest_first if SHOWN[key](job) is not None]
    unknown = [job.id for job in newest_first if SHOWN[key](job) is None]
    sorted_ids = [job.id for job in sorted(known, key=SHOWN[key], reverse=descending)]  # type: ignore[arg-type]
    assert [job.id for job in ledger.queries.sorted_jobs(ALL_JOBS, order)] == [*sorted_ids, *unknown]
    pages: list[UUID] = []
    while page := ledger.queries.sorted_jobs(ALL_JOBS, order, 3, pages[-1] if pages else None):
        pages += [job.id for job in page]
    assert pages == [*sorted_ids, *unknown]


def test_a_sorted_list_is_filtered_first(ledger: Ledger, varied: list[UUID]) -> None:
    order = JobOrder(key="took", descending=True)
    mine = job_filter(ledger, producer="me@here")
    assert [job.id for job in ledger.queries.sorted_jobs(mine, order)] == [varied[2], varied[3]]
    ended = job_filter(ledger, states=["failed", "cancelled"], before=varied[5])
    assert [job.id for job in ledger.queries.sorted_jobs(ended, order)] == [varied[4], varied[3]]


@pytest.mark.parametrize(
    ("values", "said"),
    [
        ({"states": ["done"]}, "state: 'done': one of waiting, queued"),
        ({"kinds": ["traing"]}, "kind: 'traing': one of infer, train"),
        ({"since": "soon"}, "since: 'soon' is not a duration; write seconds, minutes, hours"),
        ({"model": "Digits"}, "model: 'Digits' is not a model name"),
        ({"model": "digits@production"}, "there is no"),
    ],
)
def test_a_filter_that_cannot_be_read(ledger: Ledger, values: dict[str, object], said: str) -> None:
    with pytest.raises(InvalidInput, match=said):
        job_filter(ledger, **values)  # type: ignore[arg-type]
