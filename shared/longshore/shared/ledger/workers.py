"""The workers that are running."""

from __future__ import annotations

from dataclasses import dataclass

from longshore.shared.ledger import statements
from longshore.shared.ledger.database import Database, records
from longshore.shared.ledger.postgres.repeating import repeat_read
from longshore.shared.ledger.records import WorkerRecord

#: Seconds between two reports of a worker that it is running.
PRESENCE_INTERVAL_S = 5.0
#: Seconds without a report after which a worker counts as gone.
PRESENCE_TIMEOUT_S = 20.0
#: Seconds without a report after which a worker is not listed any more.
SILENT_RETENTION_S = 24 * 3600.0


@dataclass(frozen=True, kw_only=True)
class Presence:
    """What a worker reports of itself."""

    name: str
    #: As ``longshore worker --devices`` names it. Several GPUs are joined by ``+``.
    device: str
    queue: str
    host: str
    pid: int
    families: list[str]


def count_devices(device: str) -> int:
    """The number of devices in a worker's device name, such as ``cuda:0`` or ``cuda:0+cuda:1``."""
    return device.count("+") + 1


def joined(count: int) -> str:
    """The device name of a worker with this number of GPUs, as ``longshore worker --devices`` takes it."""
    return "+".join(f"cuda:{number}" for number in range(count))


class Workers:
    """The part of the ledger that lists the workers."""

    def __init__(self, database: Database) -> None:
        self._database = database

    @repeat_read
    def see(self, presence: Presence) -> None:
        """Record that a worker is running now."""
        with self._database.connection() as conn:
            conn.execute(statements.workers.SEE_WORKER, vars(presence))

    @repeat_read
    def forget(self, presence: Presence) -> None:
        """Remove a worker that stops from the list, unless another process works under its name by now."""
        with self._database.connection() as conn:
            conn.execute(statements.workers.FORGET_WORKER, vars(presence))

    def forget_silent(self, *, dry_run: bool = False) -> int:
        """Remove the workers from the list that have not reported for a day: machines that do not exist any more.

        :param dry_run: only count them.
        :returns: how many there were.
        """
        values = {"age": SILENT_RETENTION_S}
        with self._database.connection() as conn:
            if dry_run:
                row = conn.execute(statements.workers.COUNT_SILENT_WORKERS, values).fetchone()
                return 0 if row is None else int(row[0])
            return conn.execute(statements.workers.FORGET_SILENT_WORKERS, values).rowcount

    @repeat_read
    def workers(self) -> list[WorkerRecord]:
        """Every worker that has reported and was not removed since, by name."""
        with self._database.connection() as conn:
            return (
                records(conn, WorkerRecord)
                .execute(statements.workers.LIST_WORKERS, {"timeout": PRESENCE_TIMEOUT_S})
                .fetchall()
            )

    @repeat_read
    def live_queues(self) -> frozenset[str]:
        """The queues that at least one live worker takes from."""
        with self._database.connection() as conn:
            return frozenset(
                row[0] for row in conn.execute(statements.workers.LIVE_QUEUES, {"timeout": PRESENCE_TIMEOUT_S})
            )

    def most_devices(self, queue: str) -> int | None:
        """The most devices that a live worker of a queue has; ``None`` if the queue has no live worker."""
        workers = [worker for worker in self.workers() if worker.alive and worker.queue == queue]
        return max((count_devices(worker.device) for worker in workers), default=None)

    @repeat_read
    def families(self) -> frozenset[str]:
        """The families that at least one worker has reported it can train."""
        with self._database.connection() as conn:
            return frozenset(row[0] for row in conn.execute(statements.workers.KNOWN_FAMILIES))
