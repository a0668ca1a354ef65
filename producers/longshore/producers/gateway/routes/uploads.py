"""Uploads of files in parts, which go on after an interruption. The objects are OpenAI's."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Annotated, Final

from fastapi import APIRouter, Request

from longshore.producers.gateway.access.callers import Caller, needs
from longshore.producers.gateway.files.joining import ExpectedDigests, check_sha256, join
from longshore.producers.gateway.files.upload import commit, display_name, receiving, too_large
from longshore.producers.gateway.files.upload_documents import (
    MAX_PARTS,
    CompleteUploadBody,
    NewUploadBody,
    PartDocument,
    UploadDocument,
    UploadWithParts,
)
from longshore.producers.gateway.openai.errors import invalid
from longshore.producers.gateway.problems import Problem
from longshore.producers.gateway.routes.files import BATCH, BATCH_EXPIRY_S, quota_left, store_of
from longshore.producers.gateway.serving.idempotency import REPEATABLE, RepeatKey
from longshore.producers.gateway.state import Gateway, gateway_of
from longshore.shared.ledger.gateway.files import FileRecord
from longshore.shared.ledger.gateway.tokens import Scope
from longshore.shared.ledger.gateway.uploads import (
    PartRecord,
    PlannedUpload,
    UploadRecord,
    UploadState,
    new_part_id,
    new_upload_id,
)

router = APIRouter(prefix="/uploads", tags=["files"])

#: Bytes of a part.
MAX_PART_BYTES: Final = 64 << 20
_DATA: Final = "data"
_SHA256: Final = re.compile(r"[0-9a-fA-F]{64}")
_FORM: Final = {
    "requestBody": {
        "required": True,
        "content": {
            "multipart/form-data": {
                "schema": {
                    "type": "object",
                    "required": [_DATA],
                    "properties": {
                        _DATA: {"type": "string", "format": "binary"},
                        "sha256": {"type": "string", "pattern": f"^{_SHA256.pattern}$"},
                    },
                    "additionalProperties": False,
                }
            }
        },
    }
}


@router.post("")
async def create_upload(
    body: NewUploadBody, request: Request, caller: Annotated[Caller, needs(Scope.FILES_WRITE)], key: RepeatKey
) -> UploadDocument:
    """Begin an upload in parts. It must be completed within an hour."""
    gateway, uploads = gateway_of(request), caller.client.ledger.uploads
    options = gateway.options
    most = min(options.max_upload_bytes, options.max_batch_bytes) if body.purpose == BATCH else options.max_upload_bytes
    if body.bytes > most:
        raise too_large(most, "bytes")
    await quota_left(gateway, caller, body.bytes)
    seconds = BATCH_EXPIRY_S if body.purpose == BATCH else None
    if body.expires_after is not None:
        seconds = body.expires_after.seconds
    id, name = new_upload_id(caller.producer, key), display_name(body.filename)
    upload = PlannedUpload(id, caller.producer, body.purpose, name, body.bytes, seconds)
    return UploadDocument.of(await gateway.threads.call(uploads.add, upload))


@router.get("/{id}")
async def show_upload(id: str, request: Request, caller: Annotated[Caller, needs(Scope.FILES_READ)]) -> UploadWithParts:
    """An upload of the caller's producer, with its parts: what is there after an interruption."""
    gateway = gateway_of(request)
    upload = await _find(gateway, caller, id)
    parts: Sequence[PartRecord] = ()
    if upload.state == UploadState.PENDING:
        parts = await gateway.threads.call(caller.client.ledger.uploads.parts, caller.producer, id)
    return UploadWithParts.with_parts(upload, await _file_of(gateway, caller, upload), parts)


@router.post("/{id}/parts", openapi_extra=_FORM)
async def add_part(
    id: str, request: Request, caller: Annotated[Caller, needs(Scope.FILES_WRITE)], key: RepeatKey
) -> PartDocument:
    """Add a part, as `multipart/form-data` with the fields `data`, of up to 64 MiB, and, if it is to be checked,
    `sha256` in hexadecimal digits. Parts can be sent in any order and at the same time.
    """
    gateway, uploads = gateway_of(request), caller.client.ledger.uploads
    threads = gateway.threads
    upload = await _find_pending(gateway, caller, id)
    if await threads.call(uploads.count_parts, caller.producer, id) >= MAX_PARTS:
        raise Problem(
            400, "too_many_parts", f"an upload has up to {MAX_PARTS:,} parts; begin a new one with larger ones"
        )
    left = await quota_left(gateway, caller)
    most = min(MAX_PART_BYTES, upload.bytes, left)
    async with receiving(request, store_of(gateway), threads, most, _DATA) as form:
        if unknown := form.fields.keys() - {"sha256"}:
            raise invalid(min(unknown)[:80], "unknown parameter; remove it", "unknown_parameter")
        sha256 = form.fields.get("sha256")
        if sha256 is not None and not _SHA256.fullmatch(sha256):
            raise invalid("sha256", "write 64 hexadecimal digits")
        if form.writer.size == 0:
            raise invalid(_DATA, "empty; a part has at least one byte")
        check_sha256(sha256, form.writer)
        blob = await commit(form, threads)
        part = await threads.call(uploads.add_part, caller.producer, id, new_part_id(caller.producer, key), blob)
    if part is None:
        await _find_pending(gateway, caller, id)
        raise Problem(404, "unknown_upload", f"there is no upload {id!r} any more")
    if part.blob != blob:
        raise Problem(422, "key_reused", "this Idempotency-Key was sent with another part; use a key for one request")
    return PartDocument.of(part)


@router.post("/{id}/complete", dependencies=[REPEATABLE])
async def complete_upload(
    id: str, body: CompleteUploadBody, request: Request, caller: Annotated[Caller, needs(Scope.FILES_WRITE)]
) -> UploadDocument:
    """Make a file of the parts. Together they must have the size that the upload was created for. What was completed
    before with the same parts is answered as it is.
    """
    gateway, uploads = gateway_of(request), caller.client.ledger.uploads
    threads = gateway.threads
    async with gateway.joining:
        # Before the upload: if it has not ended then, these are all of its parts. What ends it removes them.
        stored = await threads.call(uploads.parts, caller.producer, id)
        upload = await _find(gateway, caller, id)
        if upload.state != UploadState.COMPLETED:
            _check_pending(upload)
            parts = _chosen(upload, body.part_ids, stored)
            blob = await join(parts, store_of(gateway), threads, ExpectedDigests(body.md5, body.sha256))
            completed = await threads.call(uploads.complete, caller.producer, upload, body.part_ids, blob)
            # Another request may have ended it meanwhile.
            upload = completed or await _find(gateway, caller, id)
    if upload.state != UploadState.COMPLETED or list(upload.part_ids or ()) != body.part_ids:
        raise _ended(upload)
    return UploadDocument.of(upload, await _file_of(gateway, caller, upload))


@router.post("/{id}/cancel", dependencies=[REPEATABLE])
async def cancel_upload(
    id: str, request: Request, caller: Annotated[Caller, needs(Scope.FILES_WRITE)]
) -> UploadDocument:
    """End an upload, and forget its parts."""
    gateway = gateway_of(request)
    cancelled = await gateway.threads.call(caller.client.ledger.uploads.cancel, caller.producer, id)
    upload = cancelled or await _find(gateway, caller, id)
    if upload.state != UploadState.CANCELLED:
        raise _ended(upload)
    return UploadDocument.of(upload)


async def _find(gateway: Gateway, caller: Caller, id: str) -> UploadRecord:
    """:raises Problem: 404; the caller's producer has no upload with this id."""
    upload = await gateway.threads.call(caller.client.ledger.uploads.find, caller.producer, id)
    if upload is None:
        raise Problem(404, "unknown_upload", f"there is no upload {id!r}", errors=[("id", "there is no such upload")])
    return upload


async def _find_pending(gateway: Gateway, caller: Caller, id: str) -> UploadRecord:
    """:raises Problem: 400 or 404; there is no such upload, or it has ended."""
    upload = await _find(gateway, caller, id)
    _check_pending(upload)
    return upload


def _check_pending(upload: UploadRecord) -> None:
    if upload.state != UploadState.PENDING:
        raise _ended(upload)


def _ended(upload: UploadRecord) -> Problem:
    return Problem(400, "upload_ended", f"the upload {upload.id} is {upload.state}; begin a new one")


async def _file_of(gateway: Gateway, caller: Caller, upload: UploadRecord) -> FileRecord | None:
    if upload.file_id is None:
        return None
    return await gateway.threads.call(caller.client.ledger.files.find, caller.producer, upload.file_id)


def _chosen(upload: UploadRecord, part_ids: Sequence[str], parts: Sequence[PartRecord]) -> list[PartRecord]:
    """The parts with these ids, in their order.

    :raises Problem: 400; the upload has no such part, one is named twice, or they have not the size of the file.
    """
    by_id = {part.id: part for part in parts}
    chosen: list[PartRecord] = []
    for number, id in enumerate(part_ids):
        part = by_id.pop(id, None)
        if part is None:
            is_named = any(id == each.id for each in chosen)
            reason = "named twice" if is_named else f"this upload has no part {id[:80]!r}"
            raise invalid(f"part_ids[{number}]", reason)
        chosen.append(part)
    size = sum(part.bytes for part in chosen)
    if size != upload.bytes:
        raise invalid("part_ids", f"these parts have {size:,} bytes, and the upload was created for {upload.bytes:,}")
    return chosen
