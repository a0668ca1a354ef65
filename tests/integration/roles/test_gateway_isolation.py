"""The gateway's login: Postgres shows it the jobs of one producer, whatever its code asks for."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from uuid import UUID, uuid4

import psycopg
import pytest

from longshore.producers.logs import JobLogReader
from longshore.shared.errors import InvalidInput, ServiceUnavailable, UnknownJob
from longshore.shared.ledger.gateway.uploads import PlannedUpload, new_part_id, new_upload_id
from longshore.shared.ledger.ledger import Ledger
from longshore.shared.ledger.migrate import migrate
from longshore.shared.ledger.models.registry import NewVersion
from longshore.shared.ledger.records import NewInput
from longshore.shared.ledger.roles.install import Login, install_roles
from longshore.shared.ledger.roles.isolation import check_isolation
from longshore.shared.ledger.roles.policies import TABLES
from longshore.shared.ledger.roles.rights import Role
from longshore.shared.ledger.shards.logs import NewLogPart
from longshore.shared.settings import Settings
from longshore.shared.store.manifest import Blob
from longshore.shared.vocabulary import State
from tests.integration.logins import PASSWORD, as_role, login_name, login_url, make_logins
from tests.integration.support import claim, commit, empty_database, new_job, row_errors_of, rows_of

OWN, OTHER = "search-team", "it's \\ another', team"


@pytest.fixture(scope="module")
def database(services: Settings) -> Iterator[Settings]:
    with empty_database(services) as settings:
        migrate(settings.database_url)
        make_logins(settings.database_url)
        # What a later release does at its start: nothing is lost.
        migrate(settings.database_url)
        yield settings


@contextmanager
def gateway_of(database: Settings, producer: str) -> Iterator[Ledger]:
    with Ledger(as_role(database, Role.GATEWAY).database_url, producer=producer) as ledger:
        yield ledger


@pytest.fixture
def own(database: Settings) -> Iterator[Ledger]:
    with gateway_of(database, OWN) as ledger:
        yield ledger


@pytest.fixture
def worker(database: Settings) -> Iterator[Ledger]:
    with Ledger(as_role(database, Role.WORKER).database_url) as ledger:
        yield ledger


def finished_job(own: Ledger, worker: Ledger) -> UUID:
    """A job of several shards with results, an error and a log."""
    new = new_job(3, 2, producer=OWN, max_row_errors=1)
    job = own.submissions.submit([new], [NewInput(id=uuid4(), data=b"rows", blob=None)])[0]
    first = claim(worker, job, 0)
    worker.logs.add(first, [NewLogPart(0, "2026-01-01T00:00:00.000Z INFO start\n")])
    commit(worker, first, {1: "bad"})
    commit(worker, claim(worker, job, 1))
    return job


def test_a_job_runs_from_its_submission_to_its_results(own: Ledger, worker: Ledger) -> None:
    job = finished_job(own, worker)
    assert own.queries.job(job).state is State.SUCCEEDED
    assert rows_of(own, job) == [0, 2, 3, 4]
    assert row_errors_of(own, job) == [(1, "bad")]
    small = own.submissions.submit([new_job(1, producer=OWN)])[0]
    chained = own.submissions.submit([new_job(1, producer=OWN, version=None, depends_on=small)])[0]
    assert own.control.cancel(chained)
    assert own.control.cancel(small)
    assert own.chains.of(small) == [small, chained]


@pytest.mark.parametrize("producer", [OTHER, ""])
def test_nothing_of_another_producer_is_seen_or_changed(
    own: Ledger, worker: Ledger, database: Settings, producer: str
) -> None:
    job = finished_job(own, worker)
    waiting = own.submissions.submit([new_job(1, 1, producer=OWN)])[0]
    upload = own.uploads.add(PlannedUpload(new_upload_id(OWN, None), OWN, "user_data", "a", 1)).id
    part = own.uploads.add_part(OWN, upload, new_part_id(OWN, None), Blob(digest=f"sha256:{'0' * 64}", size=1))
    assert own.uploads.parts(OWN, upload) == [part]
    with gateway_of(database, producer) as other:
        # Whatever producer the gateway's code names.
        assert other.uploads.find(OWN, upload) is None
        assert other.uploads.parts(OWN, upload) == []
        assert other.uploads.cancel(OWN, upload) is None
        for read in (other.queries.job, other.control.cancel, other.control.retry):
            with pytest.raises(UnknownJob):
                read(job)
        assert other.queries.jobs() == []
        assert other.queries.count_jobs() == {}
        assert other.queries.shards(job) == []
        assert other.queries.few_results(job) == []
        assert rows_of(other, job) == []
        assert row_errors_of(other, job) == []
        assert other.queries.metrics(job) == []
        assert JobLogReader(other.logs, job, None, None).lines() == []
        assert set(other.activity.count_open_jobs().values()) == {0}
        with other.database.own_connection() as conn:
            assert conn.execute("SELECT has_table_privilege('partial_texts', 'SELECT')").fetchone() == (False,)
            for table in set(TABLES) - {"model_versions", "model_aliases", "partial_texts"}:
                assert conn.execute(f"SELECT FROM {table}").rowcount == 0, table
            assert conn.execute("UPDATE jobs SET state = 'cancelled'").rowcount == 0
            assert conn.execute("UPDATE shards SET state = 'cancelled'").rowcount == 0
            with pytest.raises(psycopg.errors.InsufficientPrivilege, match="policy"):
                conn.execute(
                    """INSERT INTO shards (job_id, index, action, state, queue, priority, start, stop, attempt_limit)
                       VALUES (%s, 7, 'infer', 'queued', 'cpu', 4, 0, 1, 1)""",
                    [waiting],
                )
        for new in ([new_job(1, producer=OWN)], [new_job(1, 1, producer=OWN)]):
            with pytest.raises(InvalidInput):
                other.submissions.submit(new)
        with pytest.raises(ServiceUnavailable if producer else InvalidInput, match=r"policy|submit"):
            other.submissions.submit([new_job(1, producer=producer, version=None, depends_on=waiting)])
    assert own.control.cancel(waiting)


def test_an_alias_is_moved_under_the_producers_name_only(own: Ledger) -> None:
    def add(by: str) -> int:
        new = NewVersion(model="shared", digest=f"sha256:{uuid4().hex}", manifest={}, alias="best", set_by=by)
        return own.models.add(new, lambda _: None)

    assert add(OWN) == 1
    with pytest.raises(ServiceUnavailable, match='policy for table "model_aliases"'):
        add(OTHER)


@pytest.mark.parametrize(("pattern", "events"), [("job.*\\", 0), ("job_succeeded", 0), ("j*", 1), ("job.succeeded", 1)])
def test_no_pattern_of_types_keeps_a_job_from_ending(own: Ledger, worker: Ledger, pattern: str, events: int) -> None:
    with own.database.connection() as conn, conn.transaction():
        conn.execute(
            "INSERT INTO webhook_endpoints (id, producer, url, types) VALUES ('we_x', %s, 'https://x', ARRAY[%s])",
            (OWN, pattern),
        )
    try:
        job = finished_job(own, worker)
        assert own.queries.job(job).state is State.SUCCEEDED
        with own.database.connection() as conn:
            sql = "SELECT count(*) FROM webhook_events WHERE data ->> 'id' = %s"
            assert conn.execute(sql, (str(job),)).fetchone() == (events,)
    finally:
        with own.database.connection() as conn:
            conn.execute("DELETE FROM webhook_endpoints WHERE id = 'we_x'")


def test_tokens_are_read_by_their_id_only(database: Settings, own: Ledger) -> None:
    with Ledger(database.database_url) as admin:
        token = admin.tokens.create(OWN, ["jobs:read"], created_by="tests")
    valid = own.tokens.valid(token.text)
    assert valid is not None
    assert valid.producer == OWN
    for read in (own.tokens.list, lambda: own.tokens.revoke(token.id)):
        with pytest.raises(ServiceUnavailable, match="permission denied for table tokens"):
            read()


def test_other_logins_see_the_jobs_of_all_as_before(own: Ledger, worker: Ledger, database: Settings) -> None:
    job = finished_job(own, worker)
    for role in (Role.PRODUCER, Role.OPERATOR, Role.WORKER, Role.RELAY, Role.MONITOR):
        with Ledger(as_role(database, role).database_url) as ledger:
            assert job in {record.id for record in ledger.queries.jobs()}, role
    with Ledger(as_role(database, Role.PRODUCER).database_url) as producer:
        new = producer.submissions.submit([new_job(1, 1, producer="any"), new_job(1, producer="any")])
        assert producer.control.cancel(new[0])


def refusal(url: str) -> str:
    with Ledger(url) as ledger, pytest.raises(ServiceUnavailable) as caught:
        check_isolation(ledger.database)
    return str(caught.value)


def test_a_login_that_is_not_under_the_policies_is_refused(database: Settings, services: Settings) -> None:
    with Ledger(as_role(database, Role.GATEWAY).database_url) as ledger:
        check_isolation(ledger.database)
    remedy = "`longshore migrate --roles --login gateway:NAME:PASSWORD_FILE`"
    for url, wrong in (
        (database.database_url, "is a superuser"),
        (as_role(database, Role.OWNER).database_url, "does not have the role longshore_gateway"),
        (as_role(database, Role.WORKER).database_url, "has the attribute BYPASSRLS"),
        (as_role(database, Role.PRODUCER).database_url, "does not have the role longshore_gateway"),
    ):
        text = refusal(url)
        assert wrong in text
        assert remedy in text
    install_roles(database.database_url, logins=[Login("test_both", PASSWORD, (Role.GATEWAY, Role.PRODUCER))])
    assert "also has the role longshore_producer" in refusal(login_url(database.database_url, "test_both"))
    gateway = as_role(database, Role.GATEWAY).database_url
    with psycopg.connect(database.database_url, autocommit=True) as admin:
        admin.execute("DROP ROLE test_both")
        admin.execute("ALTER TABLE results DISABLE ROW LEVEL SECURITY")
        assert "is not under the policies of the table results" in refusal(gateway)
        admin.execute(f"ALTER ROLE {login_name(Role.GATEWAY)} BYPASSRLS")
        assert "has the attribute BYPASSRLS" in refusal(gateway)
    install_roles(database.database_url)
    with Ledger(gateway) as ledger:
        check_isolation(ledger.database)


def test_a_database_without_roles_has_no_gateway(services: Settings) -> None:
    with empty_database(services) as settings:
        migrate(settings.database_url)
        assert "has no roles of Longshore" in refusal(settings.database_url)
