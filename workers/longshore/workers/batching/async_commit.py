"""The commit of one group of small shards, made while the next group is claimed and computed.

A worker that computes such groups waits for Postgres half of its time. The message of a group is acknowledged when it
is computed: should its worker die before the commit, the lease of its shards runs out, as that of any shard.
"""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor


class Tail:
    """At most one commit at a time, in a thread of its own."""

    def __init__(self) -> None:
        self._thread = ThreadPoolExecutor(1, "commit")
        self._last: Future[None] | None = None

    def follow(self, commit: Callable[[], None]) -> None:
        """Begin a commit, when the one before has ended."""
        self.wait()
        self._last = self._thread.submit(commit)

    def wait(self) -> None:
        """Until nothing is left to commit.

        :raises Exception: whatever the last commit has raised.
        """
        last, self._last = self._last, None
        if last is not None:
            last.result()

    def close(self) -> None:
        """Wait, and give the thread back."""
        try:
            self.wait()
        finally:
            self._thread.shutdown()
