"""What was read from the input of a batch: the lines of each job, and the lines that cannot be run.

It is written to the store once, and every later step reads it, so that all steps see the same, whichever gateway takes
them.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Final

from pydantic import BaseModel, ConfigDict, JsonValue, TypeAdapter

from longshore.producers.documents.json_text import on_one_line
from longshore.producers.gateway.batches.input_lines import BadLine, Line, LineError
from longshore.producers.gateway.openai.requests import Endpoint, read_request
from longshore.shared.store.blobs import BlobWriter
from longshore.shared.store.manifest import Blob
from longshore.shared.store.store import Store

_BLOCK: Final = 1 << 20
_LINE: Final = TypeAdapter(tuple[int, str, JsonValue])
_BAD_LINE: Final = TypeAdapter(tuple[int, str | None, tuple[str, str, str | None]])


class PlannedLines(BaseModel):
    """Lines in the store."""

    model_config = ConfigDict(frozen=True)

    digest: str
    size: int

    @classmethod
    def of(cls, blob: Blob) -> PlannedLines:
        """Those of a blob."""
        return cls(digest=blob.digest, size=blob.size)

    @property
    def blob(self) -> Blob:
        """Their blob."""
        return Blob(digest=self.digest, size=self.size)


class PlannedJob(BaseModel):
    """A job of a batch: lines with the same version and the same options of the job as a whole."""

    model_config = ConfigDict(frozen=True)

    #: The version, such as ``chat:3``.
    model: str
    lines: PlannedLines
    rows: int


class BatchPlan(BaseModel):
    """The jobs of a batch."""

    model_config = ConfigDict(frozen=True)

    jobs: tuple[PlannedJob, ...]
    bad_lines: PlannedLines | None

    @property
    def digests(self) -> list[str]:
        """Of the blobs that it names."""
        return [*(job.lines.digest for job in self.jobs), *([self.bad_lines.digest] if self.bad_lines else ())]


class LinesWriter:
    """Writes JSON Lines to the store. Commit or discard it.

    :param store: opened when the first line comes, so that nothing is stored if none does.
    """

    def __init__(self, store: Store) -> None:
        self._store = store
        self._writer: BlobWriter | None = None
        self._pending = bytearray()
        #: Lines so far.
        self.count = 0

    def write(self, document: JsonValue) -> None:
        """Add a line."""
        self._pending += (
            on_one_line(json.dumps(document, ensure_ascii=False, separators=(",", ":"))).encode(errors="replace")
            + b"\n"
        )
        self.count += 1
        if len(self._pending) >= _BLOCK:
            self._flush()

    def commit(self) -> Blob | None:
        """Store the lines; ``None`` if there are none."""
        if not self.count:
            return None
        self._flush()
        assert self._writer is not None  # the first line has opened it
        return self._writer.commit()

    def discard(self) -> None:
        """Leave nothing; does nothing after :meth:`commit`."""
        if self._writer is not None:
            self._writer.discard()

    def _flush(self) -> None:
        if self._writer is None:
            self._writer = self._store.new_blob()
        self._writer.write(bytes(self._pending))
        self._pending.clear()


def encode_line(line: Line) -> bytes:
    """A line as the plan has it."""
    return json.dumps([line.number, line.custom_id, line.body], ensure_ascii=False).encode(errors="replace") + b"\n"


def read_lines(store: Store, lines: PlannedLines, endpoint: Endpoint) -> Iterator[Line]:
    """The lines of a job, in the order of their rows."""
    for text in _texts(store, lines):
        number, custom_id, body = _LINE.validate_json(text)
        yield Line(number, custom_id, body, read_request(endpoint, body))


def bad_line_document(line: BadLine) -> JsonValue:
    """A line that cannot be run, as the plan has it."""
    return [line.number, line.custom_id, [line.error.code, line.error.message, line.error.param]]


def read_bad_lines(store: Store, lines: PlannedLines) -> Iterator[BadLine]:
    """The lines that cannot be run."""
    for text in _texts(store, lines):
        number, custom_id, error = _BAD_LINE.validate_json(text)
        yield BadLine(number, custom_id, LineError(*error))


def _texts(store: Store, lines: PlannedLines) -> Iterator[bytes]:
    pending = b""
    for block in store.blob_blocks(lines.blob):
        *ended, pending = (pending + block).split(b"\n")
        yield from ended


def read_plan(store: Store, digest: str) -> BatchPlan:
    """The plan of a batch."""
    return BatchPlan.model_validate_json(store.read_blob(digest))
