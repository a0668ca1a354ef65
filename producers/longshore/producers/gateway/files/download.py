"""The bytes of a file as an answer, the whole of it or a part."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator, Iterator
from typing import Final
from urllib.parse import quote

from fastapi import Request
from fastapi.responses import StreamingResponse

from longshore.producers.aio.threads import Threads
from longshore.producers.gateway.problems import Problem
from longshore.shared.ledger.gateway.files import FileRecord
from longshore.shared.store.store import Store

_RANGE: Final = re.compile(r"bytes=(\d{0,19})-(\d{0,19})")


async def content_of(request: Request, file: FileRecord, store: Store, threads: Threads) -> StreamingResponse:
    """The bytes of a file, or those that the header ``Range`` names. The whole of it is checked while it is sent.

    :raises Problem: 416; the file has no such part.
    :raises CorruptBlob: it is missing in the store.
    """
    etag = f'"{file.digest}"'
    headers = {
        "Accept-Ranges": "bytes",
        "ETag": etag,
        "Content-Disposition": f"attachment; filename*=UTF-8''{quote(file.filename)}",
        # What callers have uploaded is never shown as a page of the gateway.
        "X-Content-Type-Options": "nosniff",
    }
    start, stop, status = 0, file.bytes, 200
    part = _part(request.headers.get("range"), file.bytes)
    if part is not None and request.headers.get("if-range", etag) == etag:
        start, stop, status = part[0], part[1], 206
        headers["Content-Range"] = f"bytes {start}-{stop - 1}/{file.bytes}"
    headers["Content-Length"] = str(stop - start)
    blocks = store.blob_blocks(file.blob, start, stop)
    # A missing blob is an error of the answer, and not one in the middle of it.
    first = await threads.call(next, blocks, b"")
    return StreamingResponse(_blocks(first, blocks, threads), status, headers, "application/octet-stream")


async def _blocks(first: bytes, rest: Iterator[bytes], threads: Threads) -> AsyncIterator[bytes]:
    block = first
    while block:
        yield block
        block = await threads.call(next, rest, b"")


def _part(header: str | None, size: int) -> tuple[int, int] | None:
    """The first byte and the one after the last that a header ``Range`` names; ``None`` for the whole.

    :raises Problem: 416; there are no such bytes.
    """
    match = None if header is None else _RANGE.fullmatch(header.strip())
    if match is None or match[1] == match[2] == "":
        return None  # several parts, or no bytes: a server may send the whole
    if not match[1]:
        start, stop = max(size - int(match[2]), 0), size
    else:
        start, stop = int(match[1]), min(int(match[2]) + 1, size) if match[2] else size
    if start >= stop:
        if match[1] and match[2] and int(match[2]) < int(match[1]):
            return None  # not valid, so it counts as if it was not there
        raise Problem(
            416, "range_not_satisfiable", f"the file has {size:,} bytes", headers={"Content-Range": f"bytes */{size}"}
        )
    return start, stop
