"""Files as callers see them: OpenAI's objects."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Final, Literal

from pydantic import BaseModel, ConfigDict, Field

from longshore.shared.ledger.gateway.files import FileRecord

#: Seconds after which a file can be set to expire.
MIN_EXPIRY_S: Final = 3600
MAX_EXPIRY_S: Final = 2_592_000


class ExpiresAfter(BaseModel):
    """When a file expires."""

    model_config = ConfigDict(extra="forbid", use_attribute_docstrings=True)

    anchor: Literal["created_at"]
    """From when it counts."""
    seconds: Annotated[int, Field(ge=MIN_EXPIRY_S, le=MAX_EXPIRY_S)]
    """From one hour to 30 days."""


class FileDocument(BaseModel):
    """A file."""

    model_config = ConfigDict(use_attribute_docstrings=True)

    id: str
    object: Literal["file"] = "file"
    bytes: int
    """Its size."""
    created_at: int
    """Seconds since 1970."""
    expires_at: int | None
    filename: str
    purpose: str
    """`batch` and `user_data` are uploaded, `batch_output` is what a batch leaves."""
    status: Literal["processed"] = "processed"
    status_details: None = None

    @classmethod
    def of(cls, file: FileRecord) -> FileDocument:
        """The document of a file in the ledger."""
        return cls(
            id=file.id,
            bytes=file.bytes,
            created_at=int(file.created_at.timestamp()),
            expires_at=None if file.expires_at is None else int(file.expires_at.timestamp()),
            filename=file.filename,
            purpose=file.purpose,
        )


class FilePage(BaseModel):
    """A page of files."""

    object: Literal["list"] = "list"
    data: list[FileDocument]
    first_id: str | None
    last_id: str | None
    has_more: bool

    @classmethod
    def of(cls, files: Sequence[FileRecord], limit: int) -> FilePage:
        """:param files: one more than ``limit``, if there are more."""
        data = [FileDocument.of(file) for file in files[:limit]]
        return cls(
            data=data,
            first_id=data[0].id if data else None,
            last_id=data[-1].id if data else None,
            has_more=len(files) > limit,
        )


class DeletedFile(BaseModel):
    """A file that was deleted."""

    id: str
    object: Literal["file"] = "file"
    deleted: Literal[True] = True
