"""Commits that are made while other work goes on: one at a time, in their order, and none is forgotten."""

from __future__ import annotations

from functools import partial
from threading import Event

import pytest

from longshore.workers.batching.async_commit import AsyncCommitter
from tests.waiting import TIMEOUT_S


def test_a_commit_is_made_beside_other_work_and_the_next_one_waits_for_it() -> None:
    done: list[str] = []
    may = Event()

    def first() -> None:
        assert may.wait(TIMEOUT_S)
        done.append("first")

    committer = AsyncCommitter()
    committer.submit(first)
    assert done == []
    may.set()
    committer.submit(partial(done.append, "second"))
    assert done[0] == "first"
    committer.close()
    assert done == ["first", "second"]


def test_what_a_commit_raises_is_raised_to_who_waits_and_only_once() -> None:
    def broken() -> None:
        raise ValueError("broken")

    committer = AsyncCommitter()
    committer.submit(broken)
    with pytest.raises(ValueError, match="broken"):
        committer.wait()
    committer.wait()
    committer.close()
