"""Which workers there are."""

from __future__ import annotations

from dataclasses import dataclass

from longshore.shared.ledger import statements
from longshore.shared.ledger.database import Database, records
from longshore.shared.ledger.records import WorkerRecord

#: How often a worker says that it is there, in seconds.
SEEN_EVERY = 5.0
#: Seconds of silence after which a worker counts as gone.
SILENCE = 20.0


@dataclass(frozen=True, kw_only=True)
class Presence:
    """What a worker says of itself."""

    name: str
    #: As ``longshore worker --devices`` names it; several GPUs are joined by ``+``.
    device: str
    queue: str
    host: str
    pid: int
    families: list[str]


def count_devices(device: str) -> int:
    """How many devices a worker has that calls its own so: ``cuda:0``, ``cuda:0+cuda:1``."""
    return device.count("+") + 1


def joined(count: int) -> str:
    """So many GPUs as ``longshore worker --devices`` takes them for one worker."""
    return "+".join(f"cuda:{number}" for number in range(count))


class Workers:
    """The part of the ledger that keeps the workers' list."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def see(self, presence: Presence) -> None:
        """Note that a worker is there now."""
        with self._database.connection() as conn:
            conn.execute(statements.workers.SEE_WORKER, vars(presence))

    def forget(self, name: str) -> None:
        """Take a worker that stops off the list."""
        with self._database.connection() as conn:
            conn.execute(statements.workers.FORGET_WORKER, {"name": name})

    def workers(self) -> list[WorkerRecord]:
        """Every worker that was ever heard of and has not said goodbye."""
        with self._database.connection() as conn:
            return records(conn, WorkerRecord).execute(statements.workers.LIST_WORKERS, {"silence": SILENCE}).fetchall()

    def live_queues(self) -> frozenset[str]:
        """The queues that some living worker takes from."""
        with self._database.connection() as conn:
            return frozenset(row[0] for row in conn.execute(statements.workers.LIVE_QUEUES, {"silence": SILENCE}))

    def most_devices(self, queue: str) -> int | None:
        """The most devices that a living worker has whose own queue this is; ``None`` where there is no such worker."""
        found = [worker for worker in self.workers() if worker.alive and worker.queue == queue]
        return max((count_devices(worker.device) for worker in found), default=None)

    def families(self) -> frozenset[str]:
        """The families that some worker has said it can train."""
        with self._database.connection() as conn:
            return frozenset(row[0] for row in conn.execute(statements.workers.KNOWN_FAMILIES))
