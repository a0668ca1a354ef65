"""Old results go, whole weeks at once; what is young, unfinished or in use stays."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from datetime import datetime, timedelta
from threading import Thread
from uuid import UUID

import pytest

from longshore.shared.errors import InvalidInput, LedgerBusy, ResultsPruned
from longshore.shared.ledger.ledger import Ledger
from longshore.shared.ledger.locks import PRUNE_LOCK
from longshore.shared.ledger.records import NewInput
from longshore.shared.ledger.retention.partitions import read_clock
from longshore.shared.ledger.retention.removal import Pruned
from longshore.shared.ledger.retention.uuid7_time import WEEK, first_id, start_of_week, week_name
from longshore.shared.ledger.shards.logs import NewLogPart
from longshore.shared.ledger.shards.partial_texts import TextPiece
from longshore.shared.settings import Settings
from longshore.shared.vocabulary import State
from tests.integration.old_jobs import done_at, end_at, id_at, own_ledger, run_sql, submit_at, where
from tests.integration.support import (
    claim,
    commit,
    expire,
    lines,
    new_job,
    row_errors_of,
    rows_of,
    run,
    together,
    wait_for_lock,
)
from tests.waiting import TIMEOUT_S

DAY = timedelta(days=1)
HOUR = timedelta(hours=1)


@pytest.fixture
def own(services: Settings) -> Iterator[Ledger]:
    """As it stands after ten weeks: a partition for each of them, and the default one."""
    with own_ledger(services) as ledger:
        now = clock(ledger)
        for each in ledger.partitions.list():
            run_sql(ledger, f"DROP TABLE {each.name}")
        for number in range(-10, 1):
            add_week(ledger, start_of_week(now) + number * WEEK)
        yield ledger


def clock(ledger: Ledger) -> datetime:
    with ledger.database.connection() as conn:
        return read_clock(conn)


def add_week(ledger: Ledger, week: datetime, tables: tuple[str, ...] = ("results", "row_errors")) -> None:
    for table in tables:
        bounds = f"FROM ('{first_id(week)}') TO ('{first_id(week + WEEK)}')"
        run_sql(ledger, f"CREATE TABLE {table}_{week_name(week)} PARTITION OF {table} FOR VALUES {bounds}")


def partitions(ledger: Ledger) -> set[str]:
    return {each.name for each in ledger.partitions.list()}


def pruned_jobs(ledger: Ledger) -> set[UUID]:
    return {job.id for job in ledger.queries.jobs() if job.pruned_at is not None}


def of_weeks(*moments: datetime) -> set[str]:
    return {f"{table}_{week_name(moment)}" for table in ("results", "row_errors") for moment in moments}


def test_weeks_before_the_cut_are_dropped_and_others_untouched(own: Ledger) -> None:
    now = clock(own)
    old = [done_at(own, now - weeks * WEEK, 3, errors={1: "bad"}) for weeks in (5, 4, 4)]
    young = [done_at(own, now - weeks * WEEK, 3, errors={1: "bad"}) for weeks in (2, 1, 0)]
    before = partitions(own)
    files = "SELECT relname, relfilenode FROM pg_class WHERE relispartition AND relkind = 'r'"
    files_before = set(run_sql(own, files))

    pruned = own.pruning.prune(3 * WEEK)
    # The week of the cut stays: the cut lies somewhere in it.
    gone = of_weeks(*(now - weeks * WEEK for weeks in range(4, 11)))
    assert (set(pruned.dropped), pruned.jobs, pruned.emptied, pruned.kept) == (gone, 3, [], {})
    assert partitions(own) == before - gone
    assert set(run_sql(own, files)) == {each for each in files_before if each[0] not in gone}
    assert pruned_jobs(own) == set(old)
    assert [rows_of(own, job) for job in young] == [[0, 2]] * 3
    assert [row_errors_of(own, job) for job in young] == [[(1, "bad")]] * 3
    assert [row_errors_of(own, job) for job in old] == [[]] * 3
    again = own.pruning.prune(3 * WEEK)
    assert (again.jobs, again.dropped, again.kept) == (0, [], {})


def test_in_the_week_of_the_cut_jobs_are_pruned_one_by_one(own: Ledger) -> None:
    now = clock(own)
    cut = start_of_week(now - 4 * WEEK) + 3 * DAY  # an hour before it is in the same week
    old, running = done_at(own, cut - HOUR, 3, errors={1: "bad"}), submit_at(own, cut - HOUR, 1)
    young = done_at(own, cut + HOUR, 3, errors={1: "bad"})
    claim(own, running)
    late = done_at(own, cut - HOUR, 3)
    end_at(own, cut + HOUR, late)
    pruned = own.pruning.prune(now - cut)
    assert pruned.jobs == 1
    assert pruned_jobs(own) == {old}
    assert (rows_of(own, young), row_errors_of(own, young)) == ([0, 2], [(1, "bad")])
    assert (set(where(own)), set(where(own, "row_errors"))) == ({young, late}, {young})


def test_rows_without_a_week_are_pruned_with_their_jobs(own: Ledger) -> None:
    now = clock(own)
    old, ahead = done_at(own, now - 500 * DAY, 2), done_at(own, now + 500 * DAY, 2)
    half = start_of_week(now) - 20 * WEEK
    add_week(own, half, ("row_errors",))
    half_job = done_at(own, half + DAY, 3, errors={0: "bad"})
    assert where(own) == dict.fromkeys((old, ahead, half_job), "results_default")

    pruned = own.pruning.prune(30 * DAY)
    assert f"row_errors_{week_name(half)}" in pruned.dropped
    assert pruned.jobs == 2
    assert where(own) == {ahead: "results_default"}
    assert pruned_jobs(own) == {old, half_job}


def test_a_week_with_a_job_that_has_not_ended_or_not_long_ago_stays_whole_and_is_named(own: Ledger) -> None:
    now = clock(own)
    week = now - 6 * WEEK
    done, queued, running, lost = done_at(own, week), submit_at(own, week), submit_at(own, week), submit_at(own, week)
    claim(own, running)
    claim(own, lost)
    expire(own, lost)
    older = done_at(own, now - 7 * WEEK)

    pruned = own.pruning.prune(30 * DAY)
    assert pruned.kept == dict.fromkeys(of_weeks(week), 3)
    assert pruned_jobs(own) == {older}
    assert rows_of(own, done) == [0, 1]
    for job in (queued, running, lost):
        own.control.cancel(job)
    assert own.pruning.prune(30 * DAY).kept == dict.fromkeys(of_weeks(week), 3), "they have ended just now"
    end_at(own, now - 30 * DAY + HOUR, queued)
    end_at(own, now - 30 * DAY - HOUR, running, lost)
    assert own.pruning.prune(30 * DAY).kept == dict.fromkeys(of_weeks(week), 1)
    assert own.pruning.prune(30 * DAY - 2 * HOUR, dry_run=True).kept == {}
    end_at(own, now - 30 * DAY - HOUR, queued)
    assert of_weeks(week) <= set(own.pruning.prune(30 * DAY).dropped)
    assert pruned_jobs(own) == {older, done, queued, running, lost}


def test_a_dry_run_says_the_same_and_changes_nothing(own: Ledger) -> None:
    now = clock(own)
    jobs = [done_at(own, now - weeks * WEEK, 2) for weeks in (9, 8, 5, 1)]
    submit_at(own, now - 8 * WEEK)
    submit_with_block(own, now - 7 * WEEK, done=True)
    submit_with_block(own, now - 8 * WEEK, done=True)
    there = partitions(own)
    rows = run_sql(own, "SELECT * FROM results ORDER BY 1, 2")

    looked = own.pruning.prune(30 * DAY, dry_run=True)
    assert partitions(own) == there
    assert pruned_jobs(own) == set()
    assert run_sql(own, "SELECT * FROM results ORDER BY 1, 2") == rows
    assert run_sql(own, "SELECT count(*) FROM inputs") == [(2,)]

    done = own.pruning.prune(30 * DAY)
    assert replace(looked, dry_run=False, cut=done.cut) == done
    assert (done.jobs, done.inputs, set(done.kept)) == (3, 1, of_weeks(now - 8 * WEEK))
    assert jobs[0] in pruned_jobs(own)


def test_a_pruned_job_says_so_and_is_not_retried(own: Ledger) -> None:
    now = clock(own)
    done, failed, rows = done_at(own, now - 9 * WEEK), submit_at(own, now - 9 * WEEK), done_at(own, now - 40 * DAY, 2)
    own.attempts.fail(claim(own, failed), "broken", permanent=True)
    end_at(own, now - 9 * WEEK, failed)
    own.pruning.prune(30 * DAY)
    assert own.queries.job(done).pruned_at is not None
    for job in (done, failed, rows):
        with pytest.raises(ResultsPruned, match=rf"{job} were pruned at \d{{4}}-\d\d-\d\d"):
            list(own.queries.results(job))
        with pytest.raises(ResultsPruned, match="pruned"):
            own.queries.few_results(job)
        with pytest.raises(ResultsPruned, match="pruned"):
            own.control.retry(job)
        with pytest.raises(ResultsPruned, match="pruned"):
            own.control.retry_failed_rows(job)
    assert own.queries.job(failed).state is State.FAILED


def test_a_retry_that_comes_first_keeps_the_week(own: Ledger) -> None:
    week = clock(own) - 6 * WEEK
    done, failed = done_at(own, week), submit_at(own, week)
    own.attempts.fail(claim(own, failed), "broken", permanent=True)
    end_at(own, week, failed)
    found: list[Pruned] = []
    with own.database.own_connection() as conn, conn.transaction():
        # What a retry does last, before it commits.
        conn.execute("UPDATE jobs SET state = 'queued', finished_at = NULL WHERE id = %s", [failed])
        pruning = Thread(target=lambda: found.append(own.pruning.prune(30 * DAY, lock_timeout_ms=60_000)))
        pruning.start()
        wait_for_lock(own)
    pruning.join(TIMEOUT_S)
    assert found[0].kept == dict.fromkeys(of_weeks(week), 1)
    assert rows_of(own, done) == [0, 1]
    assert pruned_jobs(own) == set()


def test_a_retry_that_comes_second_is_refused(own: Ledger) -> None:
    failed = submit_at(own, clock(own) - 6 * WEEK)
    own.attempts.fail(claim(own, failed), "broken", permanent=True)
    raised: list[Exception] = []

    def retry() -> None:
        try:
            own.control.retry(failed)
        except InvalidInput as error:
            raised.append(error)

    with own.database.own_connection() as conn, conn.transaction():
        conn.execute("UPDATE jobs SET pruned_at = now() WHERE id = %s", [failed])
        retrying = Thread(target=retry)
        retrying.start()
        wait_for_lock(own)
    retrying.join(TIMEOUT_S)
    assert [type(error) for error in raised] == [ResultsPruned]
    assert own.queries.job(failed).state is State.FAILED
    assert [shard.state for shard in own.queries.shards(failed)] == [State.FAILED]


def test_two_prunes_at_once_prune_each_job_once(own: Ledger) -> None:
    now = clock(own)
    for weeks in range(10):
        done_at(own, now - weeks * WEEK - HOUR)
    pruned = together(*[lambda: own.pruning.prune(30 * DAY)] * 3)
    dropped = [name for each in pruned for name in each.dropped]
    assert len(dropped) == len(set(dropped))
    assert sum(each.jobs for each in pruned) == len(pruned_jobs(own)) > 0


def test_who_waits_too_long_for_another_prune_is_told(own: Ledger) -> None:
    with own.database.own_connection() as conn:
        conn.execute("SELECT pg_advisory_lock(%s)", [PRUNE_LOCK])
        with pytest.raises(LedgerBusy, match="another prune"):
            own.pruning.prune(30 * DAY, turn_timeout_ms=50)


def test_an_attempt_that_writes_elsewhere_neither_waits_nor_is_waited_for(own: Ledger) -> None:
    now = clock(own)
    old = done_at(own, now - 6 * WEEK)
    of = claim(own, submit_at(own, now, 2))
    with own.attempts.writing(of) as writer:
        writer.results(lines(of))
        pruned = own.pruning.prune(30 * DAY)
        # To drop a partition takes everybody's leave; to empty it does not.
        assert of_weeks(now - 6 * WEEK) & set(pruned.emptied) == {f"results_{week_name(now - 6 * WEEK)}"}
        assert pruned_jobs(own) == {old}
        assert run_sql(own, "SELECT count(*) FROM results") == [(0,)]
        writer.fence(2)
        writer.finish()
    assert rows_of(own, of.job_id) == [0, 1]
    assert set(own.pruning.prune(30 * DAY).dropped) >= set(pruned.emptied)
    assert not of_weeks(now - 6 * WEEK) & partitions(own)
    assert rows_of(own, of.job_id) == [0, 1]


def test_who_reads_an_old_week_for_long_is_not_disturbed(own: Ledger) -> None:
    week = clock(own) - 6 * WEEK
    old = done_at(own, week)
    with own.database.own_connection() as conn, conn.transaction():
        conn.execute(f"SELECT FROM results_{week_name(week)}")
        with pytest.raises(LedgerBusy, match=f"results_{week_name(week)}"):
            own.pruning.prune(30 * DAY, lock_timeout_ms=20)
    assert rows_of(own, old) == [0, 1]
    assert own.pruning.prune(30 * DAY).jobs == 1


def test_a_job_with_an_old_id_that_comes_after_the_week_is_gone_is_run(own: Ledger) -> None:
    now = clock(own)
    own.pruning.prune(30 * DAY)
    late = done_at(own, now - 6 * WEEK, 2)
    assert rows_of(own, late) == [0, 1]
    assert where(own) == {late: "results_default"}


def submit_with_block(
    ledger: Ledger, moment: datetime, count: int = 1, *, done: bool = False, blob: str | None = None
) -> list[UUID]:
    """Jobs of one call, which share a block of inline rows."""
    block = id_at(moment)
    spec = f'{{"data": {{"block": "{block}", "offset": 0, "rows": 2}}}}'
    jobs = [replace(new_job(2), id=id_at(moment), spec=spec) for _ in range(count)]
    ledger.submissions.submit(jobs, [NewInput(id=block, blob=blob, data=None if blob else b"rows")])
    if done:
        for job in jobs:
            run(ledger, job.id)
            end_at(ledger, moment, job.id)
    return [job.id for job in jobs]


def test_inline_rows_go_with_the_last_job_that_uses_them(own: Ledger) -> None:
    now = clock(own)
    first, second = submit_with_block(own, now - 9 * WEEK, 2)
    submit_with_block(own, now - 9 * WEEK, done=True, blob="sha256:" + "1" * 64)
    submit_with_block(own, now - DAY, done=True, blob="sha256:" + "2" * 64)
    own.submissions.submit([], [NewInput(id=id_at(moment), data=b"nobody's") for moment in (now, now - 60 * DAY)])
    run(own, first)
    end_at(own, now - 9 * WEEK, first)

    pruned = own.pruning.prune(30 * DAY)
    # The week is kept for the second job; nobody uses the last block.
    assert (pruned.jobs, pruned.inputs, pruned.blobs) == (0, 1, [])
    own.control.cancel(second)
    end_at(own, now - 8 * WEEK, second)
    pruned = own.pruning.prune(30 * DAY)
    assert (pruned.jobs, pruned.inputs, pruned.blobs) == (3, 2, ["sha256:" + "1" * 64])
    assert run_sql(own, "SELECT count(*) FROM inputs") == [(2,)]


def test_a_block_that_a_younger_job_uses_stays(own: Ledger) -> None:
    now = clock(own)
    (old,) = submit_with_block(own, now - 9 * WEEK, done=True)
    spec = str(run_sql(own, "SELECT spec::text FROM jobs WHERE id = %s", old)[0][0])
    own.submissions.submit([replace(new_job(2), spec=spec)])
    pruned = own.pruning.prune(30 * DAY)
    assert (pruned.jobs, pruned.inputs) == (1, 0)
    assert run_sql(own, "SELECT count(*) FROM inputs") == [(1,)]


def test_commits_go_on_while_weeks_are_pruned(own: Ledger) -> None:
    now = clock(own)
    for weeks in range(5, 10):
        done_at(own, now - weeks * WEEK)
    jobs = [submit_at(own, now, 3) for _ in range(20)]

    def work() -> int:
        for job in jobs:
            commit(own, claim(own, job), {1: "bad"})
        return 0

    together(work, lambda: own.pruning.prune(30 * DAY).jobs)
    assert [rows_of(own, job) for job in jobs] == [[0, 2]] * 20
    assert len(pruned_jobs(own)) == 5


def test_the_logs_and_partial_texts_of_pruned_jobs_go_with_their_results(own: Ledger) -> None:
    now = clock(own)
    # In a week that is dropped, in the week of the cut, and young.
    moments = (now - 5 * WEEK, start_of_week(now - 2 * WEEK) + HOUR, now)
    jobs = [submit_at(own, moment, 2) for moment in moments]
    first, *others = [claim(own, job) for job in jobs]
    for attempt in (first, *others):
        own.logs.add(attempt, [NewLogPart(0, "2026-01-01T00:00:00.000Z INFO start\n")])
        own.attempts.save_texts([(attempt, TextPiece(row=1, index=0, start=0, tokens=[1]))])
        commit(own, attempt)
    for job, moment in zip(jobs, moments, strict=True):
        end_at(own, moment, job)
    own.pruning.prune(now - (start_of_week(now - 2 * WEEK) + DAY))
    assert run_sql(own, "SELECT job_id FROM attempt_logs") == [(jobs[2],)]
    assert run_sql(own, "SELECT job_id FROM partial_texts") == [(jobs[2],)]
    # A worker that comes late adds nothing.
    own.logs.add_end(first, "late\n")
    assert run_sql(own, "SELECT job_id FROM attempt_logs") == [(jobs[2],)]
