"""A connection that is cut between a COMMIT and its answer: what was changed is changed once."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from uuid import uuid4

import pytest

from longshore.shared.errors import InvalidInput, ServiceUnavailable, SubmissionUncertain
from longshore.shared.ledger.ledger import Ledger
from longshore.shared.ledger.models.registry import NewVersion
from longshore.shared.ledger.records import NewInput
from longshore.shared.references import ModelReference
from longshore.shared.settings import Settings
from longshore.shared.vocabulary import State
from tests.integration.support import new_job, submit
from tests.tcp_proxy import TcpProxy

COMMIT = b"COMMIT"


def first(*marks: bytes) -> Callable[[bytes], bool]:
    """Whether something is the first that has one of the marks in it."""
    seen = itertools.count()
    return lambda sent: any(mark in sent for mark in marks) and next(seen) == 0


@pytest.mark.parametrize("shards", [1, 3])
def test_jobs_whose_commit_was_not_answered_exist_once(proxied_ledger: Ledger, proxy: TcpProxy, shards: int) -> None:
    for number in range(20):
        new = new_job(*[1] * shards, producer="cut off", priority=5)
        block = NewInput(id=uuid4(), data=b"rows")
        # One small job is one statement, which names its producer; others are transactions.
        with proxy.losing_answers(first(b"cut off", COMMIT)):
            assert proxied_ledger.submissions.submit([new], [block]) == [new.id]
        assert len(proxied_ledger.queries.jobs(limit=1000)) == number + 1
        assert len(proxied_ledger.queries.shards(new.id)) == shards


def test_jobs_whose_transaction_was_cut_off_before_its_commit_exist_once(
    proxied_ledger: Ledger, proxy: TcpProxy
) -> None:
    new = [new_job(1, 1) for _ in range(3)]
    with proxy.losing_answers(first(b"COPY shards")):
        assert proxied_ledger.submissions.submit(new) == [job.id for job in new]
    assert len(proxied_ledger.queries.jobs()) == 3


def test_keys_hold_when_the_connection_is_cut(proxied_ledger: Ledger, proxy: TcpProxy) -> None:
    earlier = proxied_ledger.submissions.submit([new_job(1, key="a", request="x")])[0]
    new = [new_job(1, key="a", request="x"), new_job(1, key="b", request="y"), new_job(1)]
    with proxy.losing_answers(first(COMMIT)):
        assert proxied_ledger.submissions.submit(new) == [earlier, new[1].id, new[2].id]
    assert len(proxied_ledger.queries.jobs()) == 3


def test_a_cancellation_and_a_retry_happen_once(proxied_ledger: Ledger, proxy: TcpProxy) -> None:
    job = submit(proxied_ledger, 1, 1)
    with proxy.losing_answers(first(COMMIT)):
        assert proxied_ledger.control.cancel(job)
    assert not proxied_ledger.control.cancel(job)
    with proxy.losing_answers(first(COMMIT)):
        assert len(proxied_ledger.control.retry(job)) == 2
    assert proxied_ledger.queries.job(job).state is State.QUEUED
    with pytest.raises(InvalidInput, match="only a failed or cancelled"):
        proxied_ledger.control.retry(job)


def test_versions_and_aliases_change_once(proxied_ledger: Ledger, proxy: TcpProxy) -> None:
    models = proxied_ledger.models
    new = NewVersion(model="digits", digest=f"sha256:{1:064x}", manifest={}, alias=None, set_by="tests")
    for number in (1, 2, 3):
        with proxy.losing_answers(first(COMMIT)):
            assert models.add(new, lambda _: None) == number
    with proxy.losing_answers(first(COMMIT)):
        models.promote(ModelReference("digits", 2), "production", "tests")
    assert [move.version for move in models.alias_history("digits", "production")] == [2]
    with proxy.losing_answers(first(COMMIT)):
        models.remove_alias("digits", "production", "tests")
    assert [move.version for move in models.alias_history("digits", "production")] == [2, None]
    with proxy.losing_answers(first(COMMIT)):
        models.delete([ModelReference("digits", 2)], "ada")
    assert [version.version for version in models.versions("digits")] == [1, 3]


def test_if_postgres_stays_away_the_error_says_what_is_known(
    proxied: Settings, proxy: TcpProxy, ledger: Ledger, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Otherwise the test would wait for as long as a user would.
    monkeypatch.setattr("longshore.shared.ledger.postgres.repeating.LOST_TRIES", 2)
    new = [new_job(1), new_job(1)]

    def last_answer(sent: bytes) -> bool:
        if COMMIT in sent:
            proxy.refuse()
            return True
        return False

    with Ledger(proxied.database_url) as cut_off:
        with proxy.losing_answers(last_answer), pytest.raises(SubmissionUncertain) as caught:
            cut_off.submissions.submit(new)
        proxy.accept()
        assert caught.value.jobs == [job.id for job in new]
        assert f"2 jobs, all or none, of which the first is {new[0].id}" in str(caught.value)
        assert {record.id for record in ledger.queries.jobs()} == {job.id for job in new}


def test_without_a_connection_nothing_may_have_been_submitted(proxied: Settings, proxy: TcpProxy) -> None:
    with Ledger(proxied.database_url) as ledger, proxy.refusing(), pytest.raises(ServiceUnavailable) as caught:
        ledger.submissions.submit([new_job(1)])
    assert not isinstance(caught.value, SubmissionUncertain)
