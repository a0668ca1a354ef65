"""Uploads in parts as callers see them: OpenAI's objects, with what is needed to go on after an interruption."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Final, Literal

from pydantic import BaseModel, ConfigDict, Field

from longshore.producers.gateway.files.documents import ExpiresAfter, FileDocument
from longshore.shared.ledger.gateway.files import FileRecord
from longshore.shared.ledger.gateway.uploads import PartRecord, UploadRecord

#: Parts of one upload.
MAX_PARTS: Final = 10_000
_MAX_BYTES: Final = (1 << 53) - 1


class NewUploadBody(BaseModel):
    """The body of `POST /v1/uploads`."""

    model_config = ConfigDict(extra="forbid", use_attribute_docstrings=True)

    bytes: Annotated[int, Field(ge=0, le=_MAX_BYTES, strict=True)]
    """The size of the whole file."""
    filename: Annotated[str, Field(min_length=1, max_length=4096)]
    mime_type: Annotated[str, Field(max_length=255)]
    """Any: files have no types here, only names."""
    purpose: Literal["batch", "user_data"]
    expires_after: ExpiresAfter | None = None
    """When the file expires. Default: those of batches after 30 days, others never."""


class CompleteUploadBody(BaseModel):
    """The body of `POST /v1/uploads/{id}/complete`."""

    model_config = ConfigDict(extra="forbid", use_attribute_docstrings=True)

    part_ids: Annotated[list[str], Field(max_length=MAX_PARTS)]
    """The parts of the file, in their order."""
    md5: Annotated[str | None, Field(pattern="^[0-9a-fA-F]{32}$")] = None
    """The MD5 of the whole file, in hexadecimal digits, which is checked."""
    sha256: Annotated[str | None, Field(pattern="^[0-9a-fA-F]{64}$")] = None
    """The same as SHA-256."""


class PartDocument(BaseModel):
    """A part of an upload."""

    model_config = ConfigDict(use_attribute_docstrings=True)

    id: str
    object: Literal["upload.part"] = "upload.part"
    created_at: int
    """Seconds since 1970."""
    upload_id: str
    bytes: int
    """Its size."""
    sha256: str
    """Of its bytes, in hexadecimal digits."""

    @classmethod
    def of(cls, part: PartRecord) -> PartDocument:
        """The document of a part in the ledger."""
        return cls(
            id=part.id,
            created_at=int(part.created_at.timestamp()),
            upload_id=part.upload_id,
            bytes=part.bytes,
            sha256=part.digest.removeprefix("sha256:"),
        )


class UploadDocument(BaseModel):
    """An upload in parts."""

    model_config = ConfigDict(use_attribute_docstrings=True)

    id: str
    object: Literal["upload"] = "upload"
    bytes: int
    """The size of the whole file."""
    created_at: int
    """Seconds since 1970."""
    expires_at: int
    """By then it must be completed."""
    filename: str
    purpose: str
    status: Literal["pending", "completed", "cancelled", "expired"]
    file: FileDocument | None
    """Of a completed upload, unless it was deleted."""

    @classmethod
    def of(cls, upload: UploadRecord, file: FileRecord | None = None) -> UploadDocument:
        """The document of an upload in the ledger.

        :param file: of a completed one.
        """
        return cls.model_validate(_fields(upload, file))


class UploadWithParts(UploadDocument):
    """An upload in parts, with its parts."""

    parts: list[PartDocument]
    """Of a pending upload, in the order in which they came."""

    @classmethod
    def with_parts(cls, upload: UploadRecord, file: FileRecord | None, parts: Sequence[PartRecord]) -> UploadWithParts:
        """:param file: of a completed upload."""
        return cls.model_validate({**_fields(upload, file), "parts": [PartDocument.of(part) for part in parts]})


def _fields(upload: UploadRecord, file: FileRecord | None) -> dict[str, object]:
    return {
        "id": upload.id,
        "bytes": upload.bytes,
        "created_at": int(upload.created_at.timestamp()),
        "expires_at": int(upload.expires_at.timestamp()),
        "filename": upload.filename,
        "purpose": upload.purpose,
        "status": upload.state,
        "file": None if file is None else FileDocument.of(file),
    }
