"""What workers learned about batch sizes, for all of them."""

from __future__ import annotations

from collections.abc import Sequence

from longshore.shared.ledger import statements
from longshore.shared.ledger.database import Database, records
from longshore.shared.ledger.records import BatchSizeRecord


class BatchSizeTable:
    """By version digest and device: ``cpu``, or what a GPU is called."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def read(self, digest: str, device: str) -> list[BatchSizeRecord]:
        """What is known, by length; nothing if nobody has run the version on such a device."""
        with self._database.connection() as conn:
            values = {"digest": digest, "device": device}
            return records(conn, BatchSizeRecord).execute(statements.batch_sizes.READ_BATCH_SIZES, values).fetchall()

    def write(self, digest: str, device: str, found: Sequence[BatchSizeRecord]) -> None:
        """Replace what is known of some lengths: the newest measurement is the best."""
        with self._database.transaction() as conn:
            for each in sorted(found, key=lambda record: record.length):
                conn.execute(
                    statements.batch_sizes.WRITE_BATCH_SIZE, {"digest": digest, "device": device, **vars(each)}
                )
