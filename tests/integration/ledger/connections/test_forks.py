"""A ledger and a client across a fork: each process has its own connections, and gets its own answers."""

from __future__ import annotations

import multiprocessing
import os
import pickle
import sys
import threading
import traceback
from collections.abc import Callable

import numpy as np
import pytest

from longshore.producers import Client
from longshore.shared.ledger.ledger import Ledger
from longshore.shared.settings import Settings
from tests.integration.support import new_job, submit
from tests.waiting import TIMEOUT_S

#: Children at once, and rounds of calls in each process.
CHILDREN, ROUNDS = 4, 25


def fork(work: Callable[[], None]) -> int:
    """Do ``work`` in a child, which exits with 0 if it succeeds. Returns the child's number."""
    child = os.fork()
    if child:
        return child
    status = 1
    try:
        work()
        status = 0
    except BaseException:
        traceback.print_exc(file=sys.stderr)
    finally:
        os._exit(status)


def succeeded(child: int) -> bool:
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0


def ask_again_and_again(ledger: Ledger) -> None:
    """Submit jobs of an own producer, and read each back, as it was submitted."""
    name = f"{os.getpid()} {threading.get_ident()}"
    for rows in range(1, ROUNDS + 1):
        new = new_job(*[rows] * (rows % 3 + 1), producer=name)
        assert ledger.submissions.submit([new]) == [new.id]
        record = ledger.queries.job(new.id)
        assert (record.id, record.producer, record.rows_total) == (new.id, name, new.rows_total)
        with ledger.notifications.jobs() as watch:
            ledger.control.cancel(new.id)
            while new.id not in watch.changed():
                pass


def test_threads_and_children_get_their_own_answers(ledger: Ledger) -> None:
    ask_again_and_again(ledger)
    threads = [threading.Thread(target=ask_again_and_again, args=[ledger]) for _ in range(3)]
    for thread in threads:
        thread.start()
    # In the middle of what the threads do, with connections and locks in use.
    children = [fork(lambda: ask_again_and_again(ledger)) for _ in range(CHILDREN)]
    ended = [succeeded(child) for child in children]
    for thread in threads:
        thread.join(TIMEOUT_S)
    assert ended == [True] * CHILDREN
    ask_again_and_again(ledger)
    with ledger.database.connection() as conn:
        rows = conn.execute("SELECT producer, count(*), count(DISTINCT id) FROM jobs GROUP BY producer").fetchall()
    # The main thread, twice; three threads; and the children.
    assert sorted(count for _, count, _ in rows) == [ROUNDS] * (3 + CHILDREN) + [2 * ROUNDS]
    assert all(count == ids for _, count, ids in rows)


def test_a_child_in_the_middle_of_a_transaction_does_not_touch_it(ledger: Ledger) -> None:
    job = submit(ledger, 1)
    with ledger.database.transaction() as conn:
        conn.execute("UPDATE jobs SET error = 'kept'")
        # It leaves the parent's context managers, too.
        assert succeeded(fork(lambda: None))
        assert succeeded(fork(lambda: ledger.close()))
        assert succeeded(fork(lambda: _exits_the_block(ledger)))
    assert ledger.queries.job(job).error == "kept"


def _exits_the_block(ledger: Ledger) -> None:
    assert ledger.queries.jobs(), "of a new connection"


def test_a_fork_within_a_wait_leaves_the_parent_s_announcements_alone(ledger: Ledger) -> None:
    job = submit(ledger, 1)
    with ledger.notifications.jobs() as watch:
        assert succeeded(fork(lambda: ask_again_and_again(ledger)))
        ledger.control.cancel(job)
        while job not in watch.changed():
            pass


def test_the_children_of_multiprocessing_and_their_parent_use_one_client(services: Settings, ledger: Ledger) -> None:
    with Client(
        redis_url=services.redis_url, database_url=services.database_url, store=services.store, producer="parent"
    ) as client:
        job = client.train("digits", "linear", {"x": np.arange(8.0), "y": np.arange(8.0)}, "y")
        client.models.list()

        def work() -> None:
            for _ in range(5):
                new = client.train("digits", "linear", {"x": np.arange(8.0), "y": np.arange(8.0)}, "y")
                assert client.job(new.id).state == "queued"
                assert new.cancel()
            assert job.state == "queued"
            client.models.list()

        context = multiprocessing.get_context("fork")
        children = [context.Process(target=work) for _ in range(3)]
        for child in children:
            child.start()
        work()
        for child in children:
            child.join(TIMEOUT_S)
        assert [child.exitcode for child in children] == [0, 0, 0]
        assert len(client.jobs(limit=1000)) == 1 + 4 * 5


def test_pickling_is_refused_with_a_remedy(services: Settings, ledger: Ledger) -> None:
    with Client(redis_url=services.redis_url, database_url=services.database_url, store=services.store) as client:
        job = client.train("digits", "linear", {"x": np.arange(8.0), "y": np.arange(8.0)}, "y")
        with pytest.raises(TypeError, match=r"a Client cannot be pickled.*make a Client in each process"):
            pickle.dumps(client)
        with pytest.raises(TypeError, match=r"a Job cannot be pickled.*pass job\.id"):
            pickle.dumps(job)
        with pytest.raises(TypeError, match="a Database cannot be pickled"):
            pickle.dumps(ledger)
