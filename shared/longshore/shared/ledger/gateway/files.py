"""Files that callers of the HTTP gateway have uploaded, or that it has written for them. Their bytes are blobs in the
store.
"""

from __future__ import annotations

import hashlib
import re
import secrets
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Final

from longshore.shared.ledger import statements
from longshore.shared.ledger.database import Connection, Database, records
from longshore.shared.ledger.postgres.repeating import repeat_read
from longshore.shared.store.manifest import Blob

_ID: Final = re.compile(r"file-[0-9a-f]{32}")
#: Before and after every file, where a list begins.
_FIRST: Final = datetime.min.replace(tzinfo=UTC)
_LAST: Final = datetime.max.replace(tzinfo=UTC)
#: Expired files that one statement removes.
_MAX_REMOVED: Final = 1000


@dataclass(frozen=True)
class FileRecord:
    """A file. ``bytes`` is its size."""

    id: str
    #: ``batch`` and ``user_data`` are uploaded, ``batch_output`` is written by the gateway.
    purpose: str
    #: As its uploader calls it: for display only.
    filename: str
    bytes: int
    #: Of its blob in the store.
    digest: str
    created_at: datetime
    expires_at: datetime | None

    @property
    def blob(self) -> Blob:
        """Its blob in the store."""
        return Blob(digest=self.digest, size=self.bytes)


@dataclass(frozen=True)
class NewUpload:
    """A file to be added.

    :param id: of :func:`new_file_id`.
    :param seconds: after which it expires; ``None`` for never.
    """

    id: str
    producer: str
    purpose: str
    filename: str
    blob: Blob
    seconds: float | None = None


class Files:
    """The part of the ledger with the files. Every method sees those of one producer alone."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def add(self, file: NewUpload) -> FileRecord:
        """Add a file whose blob was stored just now. One that is there already is returned as it is."""
        return self._database.change(lambda conn: add_file(conn, file))

    @repeat_read
    def find(self, producer: str, id: str) -> FileRecord | None:
        """A file; ``None`` if the producer has none with this id, or it has expired."""
        if not _ID.fullmatch(id):
            return None
        with self._database.connection() as conn:
            values = {"id": id, "producer": producer}
            return records(conn, FileRecord).execute(statements.gateway.files.READ_FILE, values).fetchone()

    @repeat_read
    def list(
        self,
        producer: str,
        *,
        purpose: str | None = None,
        after: FileRecord | None = None,
        newest_first: bool = True,
        limit: int = 100,
    ) -> list[FileRecord]:
        """The files by time.

        :param after: the last file of the page before.
        """
        files = statements.gateway.files
        values = {
            "producer": producer,
            "purpose": purpose,
            "after": "" if after is None else after.id,
            "after_time": (_LAST if newest_first else _FIRST) if after is None else after.created_at,
            "limit": limit,
        }
        with self._database.connection() as conn:
            statement = files.LIST_FILES_NEWEST_FIRST if newest_first else files.LIST_FILES
            return records(conn, FileRecord).execute(statement, values).fetchall()

    @repeat_read
    def total_bytes(self, producer: str) -> int:
        """The size of all files of a producer together, and of the parts of its uploads."""
        with self._database.connection() as conn:
            row = conn.execute(statements.gateway.files.SUM_FILES, {"producer": producer}).fetchone()
        return 0 if row is None else int(row[0])

    def delete(self, producer: str, id: str) -> bool:
        """Delete a file; the blob stays until a sweep of the store.

        :returns: ``False`` if it is there and a batch that has not ended reads it, or if it is not there.
        """
        with self._database.transaction() as conn:
            values = {"id": id, "producer": producer}
            return conn.execute(statements.gateway.files.DELETE_FILE, values).fetchone() is not None

    def remove_expired(self) -> int:
        """Remove files of all producers that have expired, but for those that a batch reads. Returns how many."""
        removed = 0
        while True:
            with self._database.transaction() as conn:
                count = conn.execute(statements.gateway.files.REMOVE_EXPIRED, {"limit": _MAX_REMOVED}).rowcount
            removed += count
            if count < _MAX_REMOVED:
                return removed


def new_file_id(producer: str = "", key: str | None = None) -> str:
    """An id that nobody can guess.

    :param key: of the request that adds the file: the same request of the same producer gets the same id, so that it
        adds one file however often it is sent.
    """
    return f"file-{random_name(producer, key)}"


def random_name(producer: str, key: str | None) -> str:
    """32 random hexadecimal digits; with a key, those that belong to it."""
    if key is None:
        return secrets.token_hex(16)
    return hashlib.sha256(f"{producer}\0{key}".encode()).hexdigest()[:32]


def add_file(conn: Connection, file: NewUpload) -> FileRecord:
    """Add a file in a transaction of the caller."""
    values: dict[str, object] = {**vars(file), "bytes": file.blob.size, "digest": file.blob.digest}
    added = records(conn, FileRecord).execute(statements.gateway.files.ADD_FILE, values).fetchone()
    assert added is not None  # it returns the row that it inserts
    return added
