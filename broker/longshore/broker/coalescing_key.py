"""The key under which small shards share one message."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class CoalescingKey:
    """Which shards one message stands for: those with this queue, priority and batch key."""

    queue: str
    priority: int
    batch_key: str

    @classmethod
    def parse(cls, text: str) -> CoalescingKey:
        """The inverse of ``str(key)``.

        :raises ValueError: ``text`` is not such a key.
        """
        queue, priority, batch_key = text.split(":")
        return cls(queue, int(priority), batch_key)

    def __str__(self) -> str:
        return f"{self.queue}:{self.priority}:{self.batch_key}"
