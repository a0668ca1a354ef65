"""Files: uploads for batches and jobs, and what batches leave. The objects are OpenAI's."""

from __future__ import annotations

from typing import Annotated, Final, Literal

from fastapi import APIRouter, Query, Request
from fastapi.responses import StreamingResponse
from pydantic import ValidationError

from longshore.producers.gateway.access.callers import Caller, needs
from longshore.producers.gateway.files.documents import DeletedFile, ExpiresAfter, FileDocument, FilePage
from longshore.producers.gateway.files.download import content_of
from longshore.producers.gateway.files.upload import commit, expires_after, receiving, too_large
from longshore.producers.gateway.openai.errors import invalid, invalid_body
from longshore.producers.gateway.problems import Problem
from longshore.producers.gateway.serving.idempotency import RepeatKey
from longshore.producers.gateway.state import Gateway, gateway_of
from longshore.shared.ledger.gateway.batches import OUTPUT_PURPOSE
from longshore.shared.ledger.gateway.files import FileRecord, NewUpload, new_file_id
from longshore.shared.ledger.gateway.tokens import Scope
from longshore.shared.store.store import Store

router = APIRouter(prefix="/files", tags=["files"])

#: What files may be uploaded for.
BATCH: Final = "batch"
USER_DATA: Final = "user_data"
#: Seconds after which the input of a batch expires, if its uploader does not say: 30 days, as OpenAI's.
BATCH_EXPIRY_S: Final = 2_592_000
_FORM: Final = {
    "requestBody": {
        "required": True,
        "content": {
            "multipart/form-data": {
                "schema": {
                    "type": "object",
                    "required": ["file", "purpose"],
                    "properties": {
                        "file": {"type": "string", "format": "binary"},
                        "purpose": {"type": "string", "enum": [BATCH, USER_DATA]},
                        "expires_after[anchor]": {"type": "string", "enum": ["created_at"]},
                        "expires_after[seconds]": {"type": "integer", "minimum": 3600, "maximum": 2592000},
                    },
                }
            }
        },
    }
}
_BYTES: Final = {"application/octet-stream": {"schema": {"type": "string", "format": "binary"}}}
_CONTENT: Final[dict[int | str, dict[str, object]]] = {
    200: {"description": "The whole file.", "content": _BYTES},
    206: {"description": "The part that the header `Range` names.", "content": _BYTES},
    416: {"description": "The file has no such part."},
}


@router.post("", openapi_extra=_FORM)
async def upload_file(
    request: Request, caller: Annotated[Caller, needs(Scope.FILES_WRITE)], key: RepeatKey
) -> FileDocument:
    """Upload a file, as `multipart/form-data` with the fields `file`, `purpose` (`batch` or `user_data`) and, if it is
    to expire, `expires_after[anchor]` and `expires_after[seconds]`.
    """
    gateway = gateway_of(request)
    options, threads, files = gateway.options, gateway.threads, caller.client.ledger.files
    left = await quota_left(gateway, caller)
    async with receiving(request, store_of(gateway), threads, min(options.max_upload_bytes, left)) as upload:
        purpose = _purpose(upload.fields.get("purpose"))
        seconds = _expiry(upload.fields, purpose)
        if purpose == BATCH and upload.writer.size > options.max_batch_bytes:
            raise too_large(options.max_batch_bytes)
        blob = await commit(upload, threads)
        assert upload.filename is not None  # it was received
        file = NewUpload(new_file_id(caller.producer, key), caller.producer, purpose, upload.filename, blob, seconds)
        return FileDocument.of(await threads.call(files.add, file))


@router.get("")
async def list_files(
    request: Request,
    caller: Annotated[Caller, needs(Scope.FILES_READ)],
    after: Annotated[str | None, Query(description="The last file of the page before.")] = None,
    limit: Annotated[int, Query(ge=1, le=10_000)] = 100,
    order: Annotated[Literal["asc", "desc"], Query(description="By time.")] = "desc",
    purpose: Annotated[str | None, Query(pattern="^[a-z_-]{1,40}$")] = None,
) -> FilePage:
    """The files of the caller's producer, a page of them."""
    threads, files = gateway_of(request).threads, caller.client.ledger.files
    last = None if after is None else await threads.call(files.find, caller.producer, after)
    if after is not None and last is None:
        raise invalid("after", f"there is no file {after!r}; begin again without it")
    found = await threads.call(
        files.list,
        caller.producer,
        purpose=purpose,
        after=last,
        newest_first=order == "desc",
        limit=limit + 1,
    )
    return FilePage.of(found, limit)


@router.get("/{id}")
async def show_file(id: str, request: Request, caller: Annotated[Caller, needs(Scope.FILES_READ)]) -> FileDocument:
    """A file of the caller's producer."""
    return FileDocument.of(await find_file(gateway_of(request), caller, id))


@router.get("/{id}/content", response_class=StreamingResponse, responses=_CONTENT)
async def show_content(
    id: str, request: Request, caller: Annotated[Caller, needs(Scope.FILES_READ)]
) -> StreamingResponse:
    """The bytes of a file, or the part that the header `Range` names."""
    gateway = gateway_of(request)
    file = await find_file(gateway, caller, id)
    return await content_of(request, file, store_of(gateway), gateway.threads)


@router.delete("/{id}")
async def delete_file(id: str, request: Request, caller: Annotated[Caller, needs(Scope.FILES_WRITE)]) -> DeletedFile:
    """Delete a file. One that a batch still reads is refused."""
    gateway = gateway_of(request)
    await find_file(gateway, caller, id)
    if not await gateway.threads.call(caller.client.ledger.files.delete, caller.producer, id):
        await find_file(gateway, caller, id)  # or somebody else has deleted it
        raise Problem(409, "file_in_use", f"a batch reads {id}; wait for its end, or cancel it")
    return DeletedFile(id=id)


async def find_file(gateway: Gateway, caller: Caller, id: str) -> FileRecord:
    """A file of the caller's producer.

    :raises Problem: 404; there is none with this id.
    """
    file = await gateway.threads.call(caller.client.ledger.files.find, caller.producer, id)
    if file is None:
        raise Problem(404, "unknown_file", f"there is no file {id!r}", errors=[("id", "there is no such file")])
    return file


def store_of(gateway: Gateway) -> Store:
    """The store of the cluster."""
    return Store(gateway.settings.store, expected=gateway.ledger.models.exist)


def _purpose(text: str | None) -> str:
    if text is None:
        raise invalid("purpose", "required, but missing", "missing_required_parameter")
    if text not in (BATCH, USER_DATA):
        reason = "only batches make such files" if text == OUTPUT_PURPOSE else f"one of {BATCH}, {USER_DATA}"
        raise invalid("purpose", f"{text[:80]!r}: {reason}")
    return text


def _expiry(fields: dict[str, str], purpose: str) -> float | None:
    given = expires_after(fields)
    if given is None:
        return BATCH_EXPIRY_S if purpose == BATCH else None
    try:
        return ExpiresAfter.model_validate(given).seconds
    except ValidationError as error:
        raise invalid_body(error) from None


async def quota_left(gateway: Gateway, caller: Caller, need: int = 1) -> int:
    """The bytes that the caller's producer may store now.

    :raises Problem: 413; fewer than it needs.
    """
    quota = gateway.options.file_quota_bytes
    left = quota - await gateway.threads.call(caller.client.ledger.files.total_bytes, caller.producer)
    if left < need:
        raise Problem(
            413,
            "quota_exceeded",
            f"the files and uploads of this producer may have {quota:,} bytes together; delete some",
        )
    return left
