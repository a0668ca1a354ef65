"""The thread that commits the rows of a session: what it does if it does not know whether a commit took effect."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack

import pytest

from longshore.shared.ledger.ledger import Ledger
from longshore.workers.generate.session.committing import RowCommitter
from longshore.workers.generate.session.shards import DoneRow, Part, RunningShard
from longshore.workers.process.watchdog.board import Board
from longshore.workers.process.watchdog.show import Shown
from tests.integration.support import claim, new_job, rows_of, wait_for_lock


@pytest.fixture
def committer(ledger: Ledger) -> Iterator[RowCommitter]:
    committer = RowCommitter(ledger, Shown(Board.private()).metrics)
    yield committer
    committer.close()


def test_rows_whose_lost_commit_ends_late_are_written_once(ledger: Ledger, committer: RowCommitter) -> None:
    job = ledger.submissions.submit([new_job(3, kind="generate")])[0]
    shard = RunningShard(claim(ledger, job), ExitStack())
    rows = [DoneRow(row, f'{{"row": {row}}}', None, None) for row in range(3)]
    with ledger.database.own_connection() as earlier, ledger.database.own_connection() as watcher:
        # What a transaction does whose connection was lost and that Postgres has not ended yet.
        earlier.execute("BEGIN")
        earlier.execute("SELECT FROM shards WHERE job_id = %s FOR UPDATE", [job])
        earlier.execute("INSERT INTO results (job_id, row, output) VALUES (%s, 0, '{}'), (%s, 1, '{}')", [job, job])
        committer.submit([Part(shard, rows, None)])
        wait_for_lock(ledger)
        watcher.execute(
            "SELECT count(pg_terminate_backend(pid, 5000)) FROM pg_stat_activity "
            "WHERE datname = current_database() AND wait_event_type = 'Lock'"
        )
        wait_for_lock(ledger)
        earlier.execute("COMMIT")
    end = committer.result(wait=True)
    assert end is not None
    assert (end.committed, end.lost, end.failed) == ([shard], [], [])
    assert rows_of(ledger, job) == [0, 1, 2]
    assert ledger.queries.job(job).rows_done == 1, "the other transaction has not counted its two rows here"
