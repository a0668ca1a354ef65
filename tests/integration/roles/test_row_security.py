"""Row-level security: two producers on one database, who see and change nothing of each other."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from uuid import UUID, uuid4

import pytest

from longshore.producers.logs import JobLogReader
from longshore.shared.errors import InvalidInput, ServiceUnavailable, UnknownJob
from longshore.shared.ledger.ledger import Ledger
from longshore.shared.ledger.migrate import migrate
from longshore.shared.ledger.models.registry import NewVersion
from longshore.shared.ledger.records import NewInput
from longshore.shared.ledger.roles.install import Login, install_roles
from longshore.shared.ledger.roles.rights import Role
from longshore.shared.ledger.shards.logs import NewLogPart
from longshore.shared.references import ModelReference
from longshore.shared.settings import Settings
from longshore.shared.vocabulary import State
from tests.integration.logins import PASSWORD, as_role, login_name, login_url, make_logins
from tests.integration.support import claim, commit, empty_database, new_job, row_errors_of, rows_of

OWN, OTHER = login_name(Role.PRODUCER), "test_other"


@pytest.fixture(scope="module")
def database(services: Settings) -> Iterator[Settings]:
    with empty_database(services) as settings:
        migrate(settings.database_url)
        make_logins(settings.database_url, row_security=True)
        install_roles(settings.database_url, logins=[Login(OTHER, PASSWORD, (Role.PRODUCER,))])
        # What a later release does at its start: nothing is lost.
        migrate(settings.database_url)
        yield settings


@pytest.fixture
def own(database: Settings) -> Iterator[Ledger]:
    with Ledger(as_role(database, Role.PRODUCER).database_url) as ledger:
        yield ledger


@pytest.fixture
def other(database: Settings) -> Iterator[Ledger]:
    with Ledger(login_url(database.database_url, OTHER)) as ledger:
        yield ledger


@pytest.fixture
def worker(database: Settings) -> Iterator[Ledger]:
    with Ledger(as_role(database, Role.WORKER).database_url) as ledger:
        yield ledger


@pytest.fixture
def relay(database: Settings) -> Iterator[Ledger]:
    with Ledger(as_role(database, Role.RELAY).database_url) as ledger:
        yield ledger


def test_a_job_runs_from_its_submission_to_its_results(own: Ledger, worker: Ledger) -> None:
    job = own.submissions.submit([new_job(3, 2, producer=OWN)], [NewInput(id=uuid4(), data=b"rows", blob=None)])[0]
    commit(worker, claim(worker, job, 0), {1: "bad"})
    commit(worker, claim(worker, job, 1))

    record = own.queries.job(job)
    assert (record.state, record.rows_done, record.rows_failed) == (State.FAILED, 4, 1)
    assert rows_of(own, job) == [record.row for record in own.queries.few_results(job)] == [0, 2, 3, 4]
    assert row_errors_of(own, job) == [(1, "bad")]

    own.submissions.mark_published([(uuid4(), own.control.retry_failed_rows(job))])
    commit(worker, claim(worker, job, 0))
    assert own.queries.job(job).state is State.SUCCEEDED


def test_small_and_keyed_jobs_are_submitted_once(own: Ledger) -> None:
    single = own.submissions.submit([new_job(1, producer=OWN)], [NewInput(id=uuid4(), data=b"rows", blob=None)])[0]
    key = str(uuid4())
    first, again = (own.submissions.submit([new_job(1, producer=OWN, key=key, request="same")])[0] for _ in range(2))
    assert first == again != single
    assert {record.id for record in own.queries.jobs()} >= {single, first}


def test_the_relay_moves_chains_and_expires_leases_of_all_producers(
    own: Ledger, worker: Ledger, relay: Ledger, database: Settings
) -> None:
    first = new_job(1, producer=OWN)
    second = new_job(1, producer=OWN, version=None, depends_on=first.id)
    own.submissions.submit([first])
    own.submissions.submit([second])
    claim(worker, first.id)
    with Ledger(database.database_url) as admin, admin.database.connection() as conn:
        conn.execute("UPDATE shards SET lease_until = now() - interval '1 second' WHERE job_id = %s", [first.id])
    assert relay.maintenance.expire_leases() == 1
    assert first.id in {ticket.job_id for ticket in relay.maintenance.unpublished(grace=0)}
    commit(worker, claim(worker, first.id))
    assert relay.chains.advance() == 1
    assert own.queries.job(second.id).state is State.QUEUED
    assert own.control.cancel(second.id)


@pytest.mark.parametrize("rows", [(1,), (1, 1)])
def test_a_job_under_another_name_is_refused(own: Ledger, rows: tuple[int, ...]) -> None:
    with pytest.raises(InvalidInput, match="set LONGSHORE_PRODUCER") as caught:
        own.submissions.submit([new_job(*rows, producer="somebody")])
    assert caught.value.field == "producer"


def running_job(own: Ledger, worker: Ledger) -> UUID:
    job = own.submissions.submit([new_job(2, 1, producer=OWN)])[0]
    first = claim(worker, job, 0)
    worker.logs.add(first, [NewLogPart(0, "2026-01-01T00:00:00.000Z INFO start\n")])
    commit(worker, first, {1: "bad"})
    return job


def test_another_producer_sees_nothing_of_a_job(own: Ledger, other: Ledger, worker: Ledger) -> None:
    job = running_job(own, worker)
    with pytest.raises(UnknownJob):
        other.queries.job(job)
    assert other.queries.jobs() == []
    assert other.queries.count_jobs() == {}
    assert other.queries.shards(job) == []
    assert other.queries.few_results(job) == []
    assert rows_of(other, job) == []
    assert row_errors_of(other, job) == []
    assert other.queries.metrics(job) == []
    assert other.trials.of(job) == []
    assert JobLogReader(other.logs, job, None, None).lines() == []
    assert [line.text for line in JobLogReader(own.logs, job, None, None).lines()] == ["start"]
    assert other.chains.of(job) == [job], "only the id that was given"
    assert other.activity.running() == []
    assert other.activity.next_shard(job, 0) is None
    assert other.activity.failures(job, 10) == []
    assert other.activity.next_jobs(10) == []
    assert set(other.activity.count_open_jobs().values()) == {0}
    shard = own.activity.next_shard(job, 0)
    assert shard is not None
    ahead = other.activity.ahead(replace(shard, job_id=uuid4()))
    assert (ahead.shards, ahead.only_own, ahead.at_least) == (0, True, True)
    assert len(own.queries.shards(job)) == 2
    assert len(own.queries.few_results(job)) == 1


def test_another_producer_changes_nothing_of_a_job(own: Ledger, other: Ledger, worker: Ledger) -> None:
    job = running_job(own, worker)
    before = own.queries.job(job), own.queries.shards(job)
    for change in (other.control.cancel, other.control.retry):
        with pytest.raises(UnknownJob):
            change(job)
    other.submissions.mark_published([(uuid4(), own.control.retry(retryable(own)))])
    with other.database.connection() as conn:
        assert conn.execute("UPDATE jobs SET state = 'cancelled'").rowcount == 0
        assert conn.execute("UPDATE shards SET state = 'cancelled'").rowcount == 0
    assert (own.queries.job(job), own.queries.shards(job)) == before


def retryable(own: Ledger) -> UUID:
    job = own.submissions.submit([new_job(1, producer=OWN)])[0]
    assert own.control.cancel(job)
    return job


def test_no_work_can_be_added_to_the_job_of_another(own: Ledger, other: Ledger, worker: Ledger) -> None:
    job = running_job(own, worker)
    with pytest.raises(ServiceUnavailable, match='policy for table "shards"'), other.database.connection() as conn:
        conn.execute(
            """INSERT INTO shards (job_id, index, action, state, queue, priority, start, stop, attempt_limit)
               VALUES (%s, 7, 'infer', 'queued', 'cpu', 4, 0, 1, 1)""",
            [job],
        )
    with pytest.raises(ServiceUnavailable, match='policy for table "job_dependencies"'):
        other.submissions.submit([new_job(1, producer=OTHER, version=None, depends_on=job)])


def test_models_are_shared_and_moves_of_aliases_are_signed(own: Ledger, other: Ledger) -> None:
    def add(ledger: Ledger, by: str) -> int:
        new = NewVersion(model="shared", digest=f"sha256:{uuid4().hex}", manifest={}, alias="best", set_by=by)
        return ledger.models.add(new, lambda _: None)

    version = add(own, OWN)
    assert other.models.resolve(ModelReference.parse("shared@best")).version == version
    with pytest.raises(ServiceUnavailable, match='policy for table "model_aliases"'):
        add(other, OWN)
    with (
        pytest.raises(ServiceUnavailable, match='policy for table "model_versions"'),
        own.database.connection() as conn,
    ):
        conn.execute(
            "INSERT INTO model_versions (model, version, digest, manifest, job_id) VALUES ('shared', 9, 'd', '{}', %s)",
            [uuid4()],
        )


def test_those_who_work_for_all_producers_see_all_jobs(
    own: Ledger, other: Ledger, worker: Ledger, database: Settings
) -> None:
    mine, theirs = running_job(own, worker), other.submissions.submit([new_job(1, producer=OTHER)])[0]
    for role in (Role.WORKER, Role.RELAY, Role.OPERATOR, Role.MONITOR):
        with Ledger(as_role(database, role).database_url) as ledger:
            assert {record.id for record in ledger.queries.jobs()} >= {mine, theirs}
            assert len(ledger.queries.shards(mine)) == 2


def test_it_can_be_turned_off_and_on(own: Ledger, other: Ledger, worker: Ledger, database: Settings) -> None:
    job = running_job(own, worker)
    install_roles(database.database_url, row_security=False)
    try:
        assert other.queries.job(job).producer == OWN
        assert len(other.queries.few_results(job)) == 1
    finally:
        install_roles(database.database_url, row_security=True)
    with pytest.raises(UnknownJob):
        other.queries.job(job)
