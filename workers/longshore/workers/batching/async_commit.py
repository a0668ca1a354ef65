"""Commits one batch of small shards while the next batch is claimed and computed.

A worker that computes such batches waits for Postgres half of its time. The message of a batch is acknowledged when the
batch is computed. If the worker dies before the commit, the leases of the shards expire, as for any shard.
"""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor

#: What the name of the thread that commits begins with.
COMMIT_THREAD = "commit"


class AsyncCommitter:
    """At most one commit at a time, in a thread of its own."""

    def __init__(self) -> None:
        self._thread = ThreadPoolExecutor(1, COMMIT_THREAD)
        self._last: Future[None] | None = None

    def submit(self, commit: Callable[[], None]) -> None:
        """Start a commit, once the one before has ended."""
        self.wait()
        self._last = self._thread.submit(commit)

    def wait(self) -> None:
        """Wait until nothing is left to commit.

        :raises Exception: whatever the last commit raised.
        """
        last, self._last = self._last, None
        if last is not None:
            last.result()

    def close(self) -> None:
        """Wait, and end the thread."""
        try:
            self.wait()
        finally:
            self._thread.shutdown()
