"""An upload of ``multipart/form-data``: the bytes of its file go into the store while they come.

Nothing of the file is held in memory but a block, and it is written once. An upload that ends early leaves nothing.
"""

from __future__ import annotations

import re
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Final

from fastapi import Request
from python_multipart.exceptions import MultipartParseError
from python_multipart.multipart import MultipartParser, parse_options_header

from longshore.producers.aio.threads import Threads
from longshore.producers.gateway.openai.errors import invalid
from longshore.producers.gateway.problems import Problem
from longshore.shared.store.blobs import BlobWriter
from longshore.shared.store.folder import BLOCK_BYTES
from longshore.shared.store.manifest import Blob
from longshore.shared.store.store import Store

#: The field of a form that is the file.
FILE_FIELD: Final = "file"
#: Bytes of a field that is not the file, and how many there may be.
MAX_FIELD_BYTES: Final = 4096
MAX_FIELDS: Final = 32
_EXPIRES_AFTER: Final = re.compile(r"expires_after\[(\w+)\]")
#: Characters of a file's name that are kept.
MAX_NAME_CHARS: Final = 255


@dataclass
class Upload:
    """What was uploaded; the blob is not stored yet."""

    writer: BlobWriter
    #: As the uploader calls the file; ``None`` until its part begins.
    filename: str | None = None
    #: The other fields of the form.
    fields: dict[str, str] = field(default_factory=dict)


@asynccontextmanager
async def receiving(
    request: Request, store: Store, threads: Threads, max_bytes: int, file_field: str = FILE_FIELD
) -> AsyncIterator[Upload]:
    """Read the body of a request to its end. What is not committed within the block is discarded.

    :param max_bytes: of the file.
    :param file_field: the field of the form that is the file.
    :raises Problem: 400, 413 or 415; the body is no such form, or the file is too large.
    :raises ServiceUnavailable: the store cannot be written.
    :raises starlette.requests.ClientDisconnect: the caller has gone.
    """
    kind, options = parse_options_header(request.headers.get("content-type"))
    if kind != b"multipart/form-data" or not options.get(b"boundary"):
        raise Problem(415, "unsupported_media_type", "send the file as multipart/form-data, as in `curl -F file=@a`")
    upload = Upload(await threads.call(store.new_blob))
    try:
        form = _Form(upload, options[b"boundary"], file_field)
        async for chunk in request.stream():
            form.take(chunk)
            if upload.writer.size + len(form.pending) > max_bytes:
                raise too_large(max_bytes, file_field)
            if len(form.pending) >= BLOCK_BYTES:
                await threads.call(upload.writer.write, form.taken())
        form.end()
        if form.pending:
            await threads.call(upload.writer.write, form.taken())
        yield upload
    finally:
        await threads.call(upload.writer.discard)


async def commit(upload: Upload, threads: Threads) -> Blob:
    """Store the blob of an upload."""
    return await threads.call(upload.writer.commit)


def too_large(max_bytes: int, field: str = FILE_FIELD) -> Problem:
    """The answer to a file with more bytes than one may have.

    :param field: of the request, with the file or its size.
    """
    return Problem(413, "file_too_large", f"{field}: more than {max_bytes:,} bytes, the most that one may have now")


def display_name(name: str) -> str:
    """A name of a file without folders and control characters. It is for display, and never becomes a path."""
    last = name.replace("\\", "/").rpartition("/")[2]
    return "".join(char for char in last if char.isprintable())[:MAX_NAME_CHARS] or "unnamed"


class _Form:
    """Parses the body."""

    def __init__(self, upload: Upload, boundary: bytes, file_field: str) -> None:
        self._upload = upload
        self._file_field = file_field
        #: Bytes of the file that were not written yet.
        self.pending = bytearray()
        self._ended = False
        self._headers: dict[bytes, bytes] = {}
        self._header, self._value = bytearray(), bytearray()
        self._name: str | None = None
        self._field = bytearray()
        self._parser = MultipartParser(
            boundary,
            {
                "on_part_begin": self._begin_part,
                "on_part_data": self._take_data,
                "on_part_end": self._end_part,
                "on_header_field": self._take_header,
                "on_header_value": self._take_value,
                "on_header_end": self._end_header,
                "on_headers_finished": self._end_headers,
                "on_end": self._end,
            },
        )

    def take(self, chunk: bytes) -> None:
        """:raises Problem: 400; the body is no form, or has too many fields or too large ones."""
        try:
            self._parser.write(chunk)
        except MultipartParseError as error:
            raise _bad(f"the form is damaged: {error}") from None

    def taken(self) -> bytes:
        """The bytes that were not written yet, which then count as written."""
        block, self.pending = bytes(self.pending), bytearray()
        return block

    def end(self) -> None:
        """:raises Problem: 400; the body ends early, or has no file."""
        if not self._ended:
            raise _bad("the form ends early")
        if self._upload.filename is None:
            raise invalid(self._file_field, "required, but missing", "missing_required_parameter")

    def _begin_part(self) -> None:
        self._headers.clear()
        self._field.clear()
        self._name = None

    def _take_header(self, data: bytes, start: int, end: int) -> None:
        self._header += data[start:end]

    def _take_value(self, data: bytes, start: int, end: int) -> None:
        self._value += data[start:end]

    def _end_header(self) -> None:
        self._headers[bytes(self._header).lower()] = bytes(self._value)
        self._header.clear()
        self._value.clear()

    def _end_headers(self) -> None:
        _, options = parse_options_header(self._headers.get(b"content-disposition"))
        self._name = options.get(b"name", b"").decode(errors="replace")
        if self._name == self._file_field:
            if self._upload.filename is not None:
                raise _bad("there are two files; upload one at a time")
            self._upload.filename = display_name(options.get(b"filename", b"").decode(errors="replace"))
        elif len(self._upload.fields) >= MAX_FIELDS or self._name in self._upload.fields:
            raise _bad(f"more than {MAX_FIELDS} fields, or two called {self._name[:80]!r}")

    def _take_data(self, data: bytes, start: int, end: int) -> None:
        if self._name == self._file_field:
            self.pending += data[start:end]
        elif len(self._field) + end - start > MAX_FIELD_BYTES:
            raise _bad(f"the field {(self._name or '')[:80]!r} has more than {MAX_FIELD_BYTES:,} bytes")
        else:
            self._field += data[start:end]

    def _end_part(self) -> None:
        if self._name is not None and self._name != self._file_field:
            self._upload.fields[self._name] = self._field.decode(errors="replace")

    def _end(self) -> None:
        self._ended = True


def _bad(reason: str) -> Problem:
    return Problem(400, "invalid_form", reason)


def expires_after(fields: Mapping[str, str]) -> dict[str, str] | None:
    """The fields ``expires_after[anchor]`` and ``expires_after[seconds]`` of a form; ``None`` if there is neither."""
    start = "expires_after["
    found = {
        name[len(start) : -1]: value for name, value in fields.items() if name.startswith(start) and name[-1] == "]"
    }
    return found or None
