"""Batch sizes that workers have measured, shared by all workers."""

from __future__ import annotations

from collections.abc import Sequence

from longshore.shared.ledger import statements
from longshore.shared.ledger.database import Database, records
from longshore.shared.ledger.postgres.repeating import repeat_read, repeat_rolled_back
from longshore.shared.ledger.records import BatchSizeRecord


class BatchSizeTable:
    """Batch sizes by the digest of a version and the kind of device: ``cpu``, or the name of a GPU."""

    def __init__(self, database: Database) -> None:
        self._database = database

    @repeat_read
    def read(self, digest: str, device: str) -> list[BatchSizeRecord]:
        """The measurements, one for each length; empty if no worker has run the version on such a device."""
        with self._database.connection() as conn:
            values = {"digest": digest, "device": device}
            return records(conn, BatchSizeRecord).execute(statements.batch_sizes.READ_BATCH_SIZES, values).fetchall()

    @repeat_rolled_back
    def write(self, digest: str, device: str, measured: Sequence[BatchSizeRecord]) -> None:
        """Replace the measurements of some lengths. The newest one counts."""
        with self._database.transaction() as conn:
            for each in sorted(measured, key=lambda record: record.length):
                conn.execute(
                    statements.batch_sizes.WRITE_BATCH_SIZE, {"digest": digest, "device": device, **vars(each)}
                )
