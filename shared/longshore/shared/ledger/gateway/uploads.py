"""Uploads of files to the HTTP gateway in parts, which go on after an interruption.

Each part is a blob in the store. A completed upload leaves one file with the bytes of its parts; the parts of one that
has ended are removed, and their blobs by the next sweep of the store.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Final

from longshore.shared.ledger import statements
from longshore.shared.ledger.database import Connection, Database, records
from longshore.shared.ledger.gateway.files import NewUpload, add_file, new_file_id, random_name
from longshore.shared.ledger.postgres.repeating import repeat_read
from longshore.shared.store.manifest import Blob

#: Seconds in which an upload must be completed.
UPLOAD_EXPIRY_S: Final = 3600.0
#: Seconds for which an upload can be seen after that.
KEEP_S: Final = 12 * 3600.0
_ID: Final = re.compile(r"upload_[0-9a-f]{32}")
#: Rows that one statement removes.
_MAX_REMOVED: Final = 1000


class UploadState(StrEnum):
    """Of an upload."""

    PENDING = "pending"
    COMPLETED = "completed"
    CANCELLED = "cancelled"
    #: It was not completed in time.
    EXPIRED = "expired"


@dataclass(frozen=True)
class UploadRecord:
    """An upload. ``bytes`` is the size of the whole file."""

    id: str
    purpose: str
    filename: str
    bytes: int
    #: Seconds after which the file expires; ``None`` for never.
    file_expires_after: int | None
    state: str
    #: The parts that were joined, in this order; ``None`` until it is completed.
    part_ids: Sequence[str] | None
    #: ``None`` until it is completed.
    file_id: str | None
    created_at: datetime
    expires_at: datetime


@dataclass(frozen=True)
class PartRecord:
    """A part of an upload. ``bytes`` is its size."""

    id: str
    upload_id: str
    bytes: int
    digest: str
    created_at: datetime

    @property
    def blob(self) -> Blob:
        """Its blob in the store."""
        return Blob(digest=self.digest, size=self.bytes)


@dataclass(frozen=True)
class PlannedUpload:
    """An upload to be added.

    :param id: of :func:`new_upload_id`.
    :param bytes: the size of the whole file.
    :param file_expires_after: seconds after which the file expires; ``None`` for never.
    """

    id: str
    producer: str
    purpose: str
    filename: str
    bytes: int
    file_expires_after: int | None = None


class Uploads:
    """The part of the ledger with the uploads. Every method sees those of one producer alone."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def add(self, upload: PlannedUpload) -> UploadRecord:
        """Add an upload. One that is there already is returned as it is."""
        values = {**vars(upload), "seconds": UPLOAD_EXPIRY_S}

        def add(conn: Connection) -> UploadRecord:
            added = records(conn, UploadRecord).execute(statements.gateway.uploads.ADD_UPLOAD, values).fetchone()
            assert added is not None  # it returns the row that it inserts
            return added

        return self._database.change(add)

    @repeat_read
    def find(self, producer: str, id: str) -> UploadRecord | None:
        """An upload; ``None`` if the producer has none with this id."""
        if not _ID.fullmatch(id):
            return None
        with self._database.connection() as conn:
            values = {"id": id, "producer": producer}
            return records(conn, UploadRecord).execute(statements.gateway.uploads.READ_UPLOAD, values).fetchone()

    @repeat_read
    def parts(self, producer: str, id: str) -> list[PartRecord]:
        """The parts of an upload, the first one first. One that has ended has none."""
        with self._database.connection() as conn:
            values = {"id": id, "producer": producer}
            return records(conn, PartRecord).execute(statements.gateway.uploads.LIST_PARTS, values).fetchall()

    @repeat_read
    def count_parts(self, producer: str, id: str) -> int:
        """How many parts an upload has."""
        with self._database.connection() as conn:
            values = {"id": id, "producer": producer}
            row = conn.execute(statements.gateway.uploads.COUNT_PARTS, values).fetchone()
        return 0 if row is None else int(row[0])

    def add_part(self, producer: str, upload: str, id: str, blob: Blob) -> PartRecord | None:
        """Add a part whose blob was stored just now. One that is there already is returned as it is.

        :param id: of :func:`new_part_id`.
        :returns: ``None`` if the upload has ended.
        """

        def add(conn: Connection) -> PartRecord | None:
            values: dict[str, object] = {"id": upload, "producer": producer}
            pending = conn.execute(statements.gateway.uploads.LOCK_PENDING, values).fetchone()
            if pending is None:
                return None
            values |= {"id": id, "upload_id": upload, "bytes": blob.size, "digest": blob.digest}
            values["expires_at"] = pending[0]
            return records(conn, PartRecord).execute(statements.gateway.uploads.ADD_PART, values).fetchone()

        return self._database.change(add)

    def complete(self, producer: str, upload: UploadRecord, part_ids: Sequence[str], blob: Blob) -> UploadRecord | None:
        """Add the file of an upload, and remove its parts.

        :param blob: of the parts, joined; it was stored just now.
        :returns: ``None`` if it has been completed or cancelled meanwhile.
        """
        file = NewUpload(new_file_id(), producer, upload.purpose, upload.filename, blob, upload.file_expires_after)
        values = {"id": upload.id, "producer": producer, "part_ids": list(part_ids), "file_id": file.id}

        def complete(conn: Connection) -> UploadRecord | None:
            statement = statements.gateway.uploads.COMPLETE_UPLOAD
            completed = records(conn, UploadRecord).execute(statement, values).fetchone()
            if completed is not None:
                add_file(conn, file)
                conn.execute(statements.gateway.uploads.DELETE_PARTS, values)
            return completed

        return self._database.change(complete)

    def cancel(self, producer: str, id: str) -> UploadRecord | None:
        """End an upload, and remove its parts.

        :returns: ``None`` if it has ended before.
        """
        values = {"id": id, "producer": producer}

        def cancel(conn: Connection) -> UploadRecord | None:
            statement = statements.gateway.uploads.CANCEL_UPLOAD
            cancelled = records(conn, UploadRecord).execute(statement, values).fetchone()
            if cancelled is not None:
                conn.execute(statements.gateway.uploads.DELETE_PARTS, values)
            return cancelled

        return self._database.change(cancel)

    def remove_expired(self) -> int:
        """Remove the parts of uploads of all producers that have expired, and uploads that ended long ago.

        :returns: how many parts were removed.
        """
        uploads = statements.gateway.uploads
        removed = self._remove(uploads.REMOVE_EXPIRED_PARTS)
        self._remove(uploads.REMOVE_OLD_UPLOADS)
        return removed

    def _remove(self, statement: str) -> int:
        removed = 0
        while True:
            with self._database.transaction() as conn:
                count = conn.execute(statement, {"limit": _MAX_REMOVED, "keep": KEEP_S}).rowcount
            removed += count
            if count < _MAX_REMOVED:
                return removed


def new_upload_id(producer: str, key: str | None) -> str:
    """An id that nobody can guess.

    :param key: of the request that adds the upload: the same request of the same producer gets the same id.
    """
    return f"upload_{random_name(producer, key)}"


def new_part_id(producer: str, key: str | None) -> str:
    """As :func:`new_upload_id`, for a part."""
    return f"part_{random_name(producer, key)}"
