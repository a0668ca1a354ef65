"""Uploaded files as the rows of a job.

The rows are stored with the job, as rows that come in its body: the file can be deleted or expire while the job runs.
Files without types of their own are refused, but for JSON Lines, whose rows are those of JSON,
and plain text, whose lines are rows.
"""

from __future__ import annotations

import json
import re
import threading
from collections.abc import Iterator
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Final

import pyarrow as pa
from pydantic import JsonValue

from longshore.shared.datasets.bounds import TooLarge
from longshore.shared.datasets.detect import SUFFIXES
from longshore.shared.datasets.inline import to_table
from longshore.shared.datasets.open import open_source
from longshore.shared.errors import DataError, InvalidInput
from longshore.shared.specs.jobs import FileInput
from longshore.shared.specs.validation import build

if TYPE_CHECKING:
    from longshore.producers.client import Client

#: Bytes of rows of a file, in memory.
MAX_ROWS_BYTES: Final = 512 << 20
_BATCH_ROWS: Final = 8192
_ID: Final = re.compile(r"file-[0-9a-f]{32}")
_FORMATS: Final = ("parquet", "arrow", "jsonl", "txt")
#: Files that are read at the same time: each can take much memory.
_reading: Final = threading.BoundedSemaphore(1)


def is_file_id(data: object) -> bool:
    """Whether data is the id of an uploaded file."""
    return isinstance(data, str) and _ID.fullmatch(data) is not None


def rows_of_file(client: Client, producer: str, id: str, form: object) -> pa.Table:
    """The rows of a file of a producer.

    :param form: the format that the caller says, if any. Default: by the suffix of the file's name.
    :raises InvalidInput: there is no such file, or it has no rows that can be used.
    :raises CorruptBlob: its bytes are missing in the store.
    """
    file = client.ledger.files.find(producer, id)
    if file is None:
        raise InvalidInput("data", f"there is no file {id}; upload it again")
    found = form if form is not None else SUFFIXES.get(PurePosixPath(file.filename).suffix.lower())
    if found not in _FORMATS:
        raise InvalidInput(
            "data",
            f"{file.filename}: uploaded files can be Parquet, Arrow, JSON Lines or plain text; name it with such a "
            "suffix, or set the option format",
        )
    path = client._store().fetch_blob(file.blob)
    with _reading:
        try:
            if found == "jsonl":
                return to_table(list(_lines(path)))
            return _read(build(FileInput, {"uri": str(path), "format": found, "size": file.bytes}))
        except InvalidInput as error:
            raise InvalidInput(error.field, error.reason.replace(str(path), file.filename)) from None
        except (DataError, TooLarge) as error:
            raise InvalidInput("data", str(error).replace(str(path), file.filename)) from None


def _read(data: FileInput) -> pa.Table:
    source = open_source(data, "data")
    size, batches = 0, []
    for segment in source.segments(None):
        for batch in source.batches(segment, source.schema.names, _BATCH_ROWS):
            size += batch.nbytes
            _check(size)
            batches.append(batch)
    return pa.Table.from_batches(batches)


def _lines(path: Path) -> Iterator[dict[str, JsonValue]]:
    size = 0
    with path.open(encoding="utf-8", errors="strict") as lines:
        try:
            for number, line in enumerate(lines, 1):
                size += len(line)
                _check(size)
                if line.strip():
                    yield _row(number, line)
        except UnicodeDecodeError:
            raise InvalidInput("data", "the file is not UTF-8") from None


def _row(number: int, line: str) -> dict[str, JsonValue]:
    try:
        row = json.loads(line)
    except (ValueError, RecursionError) as error:
        raise InvalidInput("data", f"line {number} is no JSON: {error}") from None
    if not isinstance(row, dict):
        raise InvalidInput("data", f"line {number} is no JSON object")
    return row


def _check(size: int) -> None:
    if size > MAX_ROWS_BYTES:
        raise InvalidInput(
            "data",
            f"the rows of an uploaded file have at most {MAX_ROWS_BYTES:,} bytes in memory; upload parts of it, or put "
            "it where the workers can read it",
        )
