"""Results lie in a partition of the week in which their job was submitted, whatever was there before."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime, timedelta
from threading import Thread

import pytest
from celery import Celery

from longshore.broker.relay import Relay
from longshore.shared.ledger.ledger import Ledger
from longshore.shared.ledger.migrate import migrate, pending_changes
from longshore.shared.ledger.retention.partitions import TABLES, PartitionChanges, read_clock
from longshore.shared.ledger.retention.uuid7_time import WEEK, start_of_week, week_name
from longshore.shared.ledger.schema_revision import newest_revision
from longshore.shared.settings import Settings
from tests.integration.old_jobs import done_at, id_at, own_ledger, run_sql, submit_at, where
from tests.integration.support import claim, commit, lines, row_errors_of, rows_of, together, wait_for_lock
from tests.waiting import TIMEOUT_S


@pytest.fixture
def own(services: Settings) -> Iterator[Ledger]:
    with own_ledger(services) as ledger:
        yield ledger


def this_week(ledger: Ledger) -> datetime:
    with ledger.database.connection() as conn:
        return start_of_week(read_clock(conn))


def names(ledger: Ledger) -> set[str]:
    return {each.name for each in ledger.partitions.list()}


def drop_weeks(ledger: Ledger) -> None:
    """As if the relay had been off since long before."""
    for each in ledger.partitions.list():
        run_sql(ledger, f"DROP TABLE {each.name}")


@pytest.mark.parametrize("revision", ["0001", "0002", "0003"])
def test_rows_of_before_stay_where_they_are(fresh: Settings, revision: str) -> None:
    migrate(fresh.database_url, revision)
    with Ledger(fresh.database_url) as ledger:
        now = this_week(ledger)
        old, last, next_week, far = (id_at(now + number * WEEK) for number in (-100, 0, 1, 1000))
        for job in (old, last, next_week, far):
            run_sql(ledger, "INSERT INTO results VALUES (%s, 0, '{\"x\": 1}'), (%s, 1, '[]')", job, job)
            run_sql(ledger, "INSERT INTO row_errors VALUES (%s, 2, 'bad')", job)
        before = run_sql(ledger, "SELECT job_id, row, output FROM results ORDER BY 1, 2")

        assert migrate(fresh.database_url) == newest_revision()
        assert pending_changes(fresh.database_url) == []
        assert run_sql(ledger, "SELECT job_id, row, output FROM results ORDER BY 1, 2") == before
        for table in TABLES:
            first, default = f"{table}_first", f"{table}_default"
            week = f"{table}_{week_name(now + WEEK)}"
            assert where(ledger, table) == {old: first, last: first, next_week: week, far: default}


def test_the_migration_waits_for_who_writes(fresh: Settings) -> None:
    migrate(fresh.database_url, "0003")
    with Ledger(fresh.database_url) as ledger:
        with ledger.database.own_connection() as conn, conn.transaction():
            conn.execute("INSERT INTO results VALUES (gen_random_uuid(), 0, '1')")
            migrating = Thread(target=migrate, args=[fresh.database_url])
            migrating.start()
            wait_for_lock(ledger)
        migrating.join(TIMEOUT_S)
        assert not migrating.is_alive()
        assert run_sql(ledger, "SELECT version_num FROM alembic_version") == [(newest_revision(),)]
        assert run_sql(ledger, "SELECT count(*) FROM results") == [(1,)]


def test_attempts_write_into_the_week_of_their_job(own: Ledger) -> None:
    now = this_week(own)
    own.partitions.create_missing(ahead=3)
    moments = [now + timedelta(days=days) for days in (-30, 6, 7, 13, 14, 200)]
    jobs = [done_at(own, moment, 3, errors={1: "bad"}) for moment in moments]
    weeks = ["first", "first", *(week_name(moment) for moment in moments[2:5]), "default"]
    for table in TABLES:
        assert where(own, table) == {job: f"{table}_{week}" for job, week in zip(jobs, weeks, strict=True)}
    assert [rows_of(own, job) for job in jobs] == [[0, 2]] * len(jobs)


def test_the_migration_and_the_relay_keep_this_week_and_the_next_two(own: Ledger, app: Celery) -> None:
    now = this_week(own)
    weeks = [week_name(now + number * WEEK) for number in (0, 1, 2)]
    assert names(own) == {f"{table}_{week}" for table in TABLES for week in ("first", *weeks[1:])}
    assert own.partitions.create_missing() == PartitionChanges()

    drop_weeks(own)
    Relay(own, app).step()
    assert names(own) == {f"{table}_{week}" for table in TABLES for week in weeks}
    assert own.partitions.create_missing().created == []


def test_a_new_week_takes_its_rows_out_of_the_default_partition(own: Ledger) -> None:
    now = this_week(own)
    drop_weeks(own)
    jobs = [done_at(own, now + timedelta(days=days), 3, errors={0: "bad"}) for days in (-1, 0, 6, 7)]
    assert set(where(own).values()) == {"results_default"}

    own.partitions.create_missing(ahead=0)
    for table in TABLES:
        week, default = f"{table}_{week_name(now)}", f"{table}_default"
        assert where(own, table) == dict(zip(jobs, (default, week, week, default), strict=True))
    assert [rows_of(own, job) for job in jobs] == [[1, 2]] * 4
    assert [row_errors_of(own, job) for job in jobs] == [[(0, "bad")]] * 4


def test_a_week_with_many_rows_in_the_default_partition_stays_there(own: Ledger) -> None:
    now = this_week(own)
    drop_weeks(own)
    job = done_at(own, now, 5)
    kept = own.partitions.create_missing(ahead=0, moved=4)
    assert kept.created == [f"row_errors_{week_name(now)}"]
    assert "more than 4 rows of it are in results_default" in kept.skipped[f"results_{week_name(now)}"]
    assert where(own) == {job: "results_default"}
    assert rows_of(own, job) == [0, 1, 2, 3, 4]


def test_a_week_is_made_while_attempts_write(own: Ledger) -> None:
    now = this_week(own)
    job = submit_at(own, now, 2)
    of = claim(own, job)
    with own.attempts.writing(of) as writer:
        writer.results(lines(of))
        assert len(own.partitions.create_missing(ahead=4).created) == 2 * len(TABLES)
        writer.fence(2)
        writer.finish()
    assert rows_of(own, job) == [0, 1]


def test_a_week_waits_for_who_writes_into_the_default_partition(own: Ledger) -> None:
    now = this_week(own)
    drop_weeks(own)
    job = id_at(now)
    with own.database.own_connection() as conn, conn.transaction():
        conn.execute("INSERT INTO results VALUES (%s, 0, '1')", [job])
        left = own.partitions.create_missing(ahead=0, lock_timeout_ms=50).skipped
        assert left == {f"results_{week_name(now)}": "results_default is being written or read"}
    assert own.partitions.create_missing(ahead=0).created == [f"results_{week_name(now)}"]
    assert where(own) == {job: f"results_{week_name(now)}"}


def test_two_relays_at_once_make_each_week_once(own: Ledger) -> None:
    drop_weeks(own)
    kept = together(*[own.partitions.create_missing] * 3)
    assert sorted(name for each in kept for name in each.created) == sorted(names(own))
    assert len(names(own)) == 3 * len(TABLES)


def test_an_attempt_that_began_before_a_week_was_made_ends_well(own: Ledger) -> None:
    now = this_week(own)
    drop_weeks(own)
    of = claim(own, submit_at(own, now, 2))
    own.partitions.create_missing(ahead=0)
    commit(own, of)
    assert where(own) == {of.job_id: f"results_{week_name(now)}"}
