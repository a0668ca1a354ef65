"""Finding jobs by the start of their id, and listing some of them."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from uuid import UUID

import pytest

from longshore.producers.job_filter import job_filter
from longshore.producers.job_ids import LAST, find_job, short_ids
from longshore.shared.errors import AmbiguousJob, InvalidInput, UnknownJob
from longshore.shared.ledger.jobs.filter import ALL_JOBS
from longshore.shared.ledger.ledger import Ledger
from longshore.shared.ledger.retention.uuid7_time import first_id
from tests.integration.support import new_job, run, submit

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
