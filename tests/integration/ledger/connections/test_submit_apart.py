"""What several callers submit is written together, and each gets what it would get alone."""

from __future__ import annotations

from collections.abc import Iterator
from uuid import uuid4

import pytest

from longshore.producers import Infer
from longshore.producers.planning.planner import prepare_apart
from longshore.shared.errors import InvalidInput, QueueFull, ServiceUnavailable, SubmissionUncertain
from longshore.shared.ledger.jobs.submission import Submission
from longshore.shared.ledger.ledger import Ledger
from longshore.shared.ledger.records import NewInput
from longshore.shared.settings import Settings
from longshore.shared.vocabulary import State
from tests.integration.support import new_job
from tests.tcp_proxy import TcpProxy


@pytest.fixture
def limited(ledger: Ledger) -> Iterator[Ledger]:
    yield ledger
    for each in ledger.producer_limits.list():
        ledger.producer_limits.set(each.producer, None)


def transactions_of(ledger: Ledger) -> list[int]:
    """How many jobs each transaction has written."""
    with ledger.database.connection() as conn:
        rows = conn.execute("SELECT count(*) FROM jobs GROUP BY xmin::text ORDER BY 1").fetchall()
    return [int(count) for (count,) in rows]


def test_all_go_in_one_transaction(ledger: Ledger) -> None:
    blocks = [NewInput(id=uuid4(), data=bytes([number])) for number in range(3)]
    jobs = [new_job(1), new_job(1, 1), new_job(1, key="a", request="x")]
    found = ledger.submissions.submit_apart(
        [Submission([job], [block]) for job, block in zip(jobs, blocks, strict=True)]
    )
    assert found == [[job.id] for job in jobs]
    assert transactions_of(ledger) == [3]
    assert {record.state for record in ledger.queries.jobs()} == {State.QUEUED}
    assert ledger.submissions.read_inputs([block.id for block in blocks]) == {block.id: block for block in blocks}
    assert ledger.submissions.submit_apart([]) == []


def test_only_the_bad_one_is_refused(ledger: Ledger) -> None:
    earlier = ledger.submissions.submit([new_job(1, key="a", request="x")])[0]
    new = [new_job(1), new_job(1, key="a", request="y"), new_job(1, key="a", request="x"), new_job(1)]
    found = ledger.submissions.submit_apart([Submission([job]) for job in new])
    assert [found[0], found[2], found[3]] == [[new[0].id], [earlier], [new[3].id]]
    assert isinstance(found[1], InvalidInput)
    assert f"'a' was used before for another request, job {earlier}" in str(found[1])
    assert {job.id for job in ledger.queries.jobs()} == {earlier, new[0].id, new[3].id}


def test_the_same_key_twice_is_one_job(ledger: Ledger) -> None:
    new = [new_job(1, key="a", request="x") for _ in range(3)]
    assert ledger.submissions.submit_apart([Submission([job]) for job in new]) == [[new[0].id]] * 3


def test_a_limit_takes_as_many_as_there_is_room_for(limited: Ledger) -> None:
    limited.producer_limits.set("tests", 2)
    new = [new_job(1) for _ in range(4)]
    found = limited.submissions.submit_apart([Submission([job]) for job in new])
    assert found[:2] == [[new[0].id], [new[1].id]]
    assert [type(each) for each in found[2:]] == [QueueFull, QueueFull]
    assert len(limited.queries.jobs()) == 2


def test_jobs_whose_commit_was_not_answered_exist_once(proxied_ledger: Ledger, proxy: TcpProxy) -> None:
    new = [new_job(1) for _ in range(3)]
    lost = iter([True])
    with proxy.losing_answers(lambda sent: b"COMMIT" in sent and next(lost, False)):
        found = proxied_ledger.submissions.submit_apart([Submission([job]) for job in new])
    assert found == [[job.id] for job in new]
    assert len(proxied_ledger.queries.jobs()) == 3


def test_if_postgres_stays_away_each_hears_of_its_own_jobs(
    proxied: Settings, proxy: TcpProxy, ledger: Ledger, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Otherwise the test would wait for as long as a user would.
    monkeypatch.setattr("longshore.shared.ledger.postgres.repeating.LOST_TRIES", 2)
    new = [new_job(1), new_job(1)]

    def last_answer(sent: bytes) -> bool:
        if b"COMMIT" in sent:
            proxy.refuse()
            return True
        return False

    with Ledger(proxied.database_url) as cut_off:
        with proxy.losing_answers(last_answer):
            found = cut_off.submissions.submit_apart([Submission([job]) for job in new])
        for job, outcome in zip(new, found, strict=True):
            assert isinstance(outcome, SubmissionUncertain)
            assert outcome.jobs == [job.id]
            assert f"job {job.id} may have been submitted" in str(outcome)
        refused = cut_off.submissions.submit_apart([Submission([new_job(1)])])[0]
        assert isinstance(refused, ServiceUnavailable)
        assert not isinstance(refused, SubmissionUncertain)
        proxy.accept()
        assert {record.id for record in ledger.queries.jobs()} == {job.id for job in new}


def test_requests_that_find_postgres_away_wait_for_it_once(
    proxied: Settings, proxied_ledger: Ledger, proxy: TcpProxy
) -> None:
    models = ("digits:no", "digits:1", "digits@production", "others")
    with proxy.refusing():
        refused, *missed = prepare_apart([Infer(model, [{"x": 1}]) for model in models], proxied_ledger, proxied)
    assert isinstance(refused, InvalidInput)
    assert isinstance(missed[0], ServiceUnavailable)
    assert all(each is missed[0] for each in missed)
