"""The first step of a batch: its file is read once, and every line is checked before anything runs."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Final

from longshore.producers.client import Client
from longshore.producers.gateway.batches.input_lines import BadLine, Line, LineError, LineReader, split_lines
from longshore.producers.gateway.batches.plan import (
    BatchPlan,
    LinesWriter,
    PlannedJob,
    PlannedLines,
    bad_line_document,
    encode_line,
)
from longshore.producers.gateway.openai.requests import Embedding, Endpoint, Generation
from longshore.producers.planning.planner import RowPlanners, planning_context
from longshore.producers.requests import Generate
from longshore.producers.ttl_cache import TtlCache
from longshore.shared.errors import InvalidInput, UnknownModel
from longshore.shared.ledger.gateway.batches import BatchRecord
from longshore.shared.ledger.gateway.files import FileRecord
from longshore.shared.ledger.gateway.tokens import matches_model
from longshore.shared.specs.signature import Signature
from longshore.shared.store.store import Store

#: Rows and bytes of the lines of one job: its rows are one block, which a worker fetches whole.
MAX_JOB_ROWS: Final = 10_000
MAX_JOB_BYTES: Final = 8 << 20
#: Bytes of lines that are in memory at once, of all jobs.
MAX_BYTES: Final = 32 << 20
#: Jobs of one batch: kinds of options for a job as a whole, such as tools and schemas, and models.
MAX_JOBS: Final = 1000
#: Models of one batch.
MAX_MODELS: Final = 100
#: Errors that a batch that has failed lists.
MAX_LISTED: Final = 100


@dataclass(frozen=True)
class Limits:
    """What the input of a batch may have."""

    max_requests: int
    max_line_bytes: int


@dataclass(frozen=True)
class Read:
    """What a file has."""

    plan: BatchPlan
    total: int
    bad: int
    #: The first lines that cannot be run.
    errors: Sequence[BadLine]


@dataclass
class _OpenJob:
    """A job whose lines are being collected."""

    model: str
    content: bytearray = field(default_factory=bytearray)
    rows: int = 0


class TooManyLines(Exception):
    """The file has more lines than a batch may have."""


class InputReader:
    """Reads the input of one batch.

    :param check: called at each line; what it raises ends the reading.
    """

    def __init__(
        self, client: Client, store: Store, batch: BatchRecord, limits: Limits, check: Callable[[], None]
    ) -> None:
        self._client = client
        self._store = store
        self._batch = batch
        self._limits = limits
        self._check_going_on = check
        self._versions: dict[str, str | LineError] = {}
        self._targets: dict[str, LineError | None] = {}
        self._open: dict[str, _OpenJob] = {}
        self._jobs: list[PlannedJob] = []
        self._held = 0
        self._planners = RowPlanners.of(planning_context(client.ledger, client.settings), TtlCache())

    def read(self, file: FileRecord) -> Read:
        """Read the file.

        :raises TooManyLines: it has more than a batch may have.
        :raises CorruptBlob: it is missing in the store, or damaged.
        """
        endpoint = Endpoint(self._batch.endpoint)
        reader = LineReader(endpoint, self._check, self._limits.max_line_bytes)
        bad_lines, errors, total = LinesWriter(self._store), list[BadLine](), 0
        try:
            blocks = self._store.blob_blocks(file.blob)
            for total, (number, text) in enumerate(split_lines(blocks, self._limits.max_line_bytes), 1):
                self._check_going_on()
                if total > self._limits.max_requests:
                    raise TooManyLines
                line = reader.read(number, text)
                if isinstance(line, Line):
                    line = self._add(line) or line
                if isinstance(line, BadLine):
                    bad_lines.write(bad_line_document(line))
                    if len(errors) < MAX_LISTED:
                        errors.append(line)
            for key in list(self._open):
                self._close(key)
            blob = bad_lines.commit()
        finally:
            bad_lines.discard()
        plan = BatchPlan(jobs=tuple(self._jobs), bad_lines=None if blob is None else PlannedLines.of(blob))
        return Read(plan, total, bad_lines.count, errors)

    def _add(self, line: Line) -> BadLine | None:
        key = line.request.key
        if key not in self._open and len(self._open) + len(self._jobs) >= MAX_JOBS:
            error = LineError(
                "too_many_jobs", f"the file has more than {MAX_JOBS:,} models, schemas and lists of tools; divide it"
            )
            return BadLine(line.number, line.custom_id, error)
        version = self._versions[str(line.request.reference)]
        assert isinstance(version, str)  # it was checked
        job = self._open.setdefault(key, _OpenJob(version))
        content = encode_line(line)
        job.content += content
        job.rows += line.rows
        self._held += len(content)
        if job.rows >= MAX_JOB_ROWS or len(job.content) >= MAX_JOB_BYTES:
            self._close(key)
        elif self._held > MAX_BYTES:
            self._close(max(self._open, key=lambda each: len(self._open[each].content)))
        return None

    def _close(self, key: str) -> None:
        job = self._open.pop(key)
        self._held -= len(job.content)
        blob = self._store.put_blob(bytes(job.content))
        self._jobs.append(PlannedJob(model=job.model, lines=PlannedLines.of(blob), rows=job.rows))

    def _check(self, request: Generation | Embedding) -> LineError | None:
        """The error of the model and of the options of a request; each is looked up once."""
        reference = str(request.reference)
        if reference not in self._versions:
            if len(self._versions) >= MAX_MODELS:
                return LineError("too_many_models", f"the file names more than {MAX_MODELS} models; divide it")
            self._versions[reference] = self._version(request)
        version = self._versions[reference]
        if isinstance(version, LineError):
            return version
        if isinstance(request, Embedding):
            return None
        if request.key not in self._targets:
            self._targets[request.key] = self._target_error(request, version)
        return self._targets[request.key]

    def _version(self, request: Generation | Embedding) -> str | LineError:
        """The version that a request names, which counts for the whole batch."""
        name = request.reference.name
        if not matches_model(self._batch.model_patterns, name):
            return LineError("forbidden", f"model: the token of this batch may not use {name!r}", "body.model")
        try:
            version = self._client.ledger.models.resolve(request.reference)
        except UnknownModel as error:
            return LineError("model_not_found", f"model: {error.reason}", "body.model")
        found = f"{version.model}:{version.version}"
        signature = Signature.model_validate(version.manifest["signature"])
        is_fitting = (
            signature.task == "embedding" and signature.is_text
            if isinstance(request, Embedding)
            else signature.task == "generation"
        )
        if not is_fitting:
            reason = f"model: {found} is for {signature.task}, not for {self._batch.endpoint}"
            return LineError("invalid_model", reason, "body.model")
        return found

    def _target_error(self, request: Generation, version: str) -> LineError | None:
        try:
            self._planners.target(Generate(version, [], request.options))
        except InvalidInput as error:
            return LineError("invalid_value", str(error), f"body.{error.field}")
        return None


def count_lines(store: Store, file: FileRecord) -> int:
    """The lines of a file, quickly.

    :raises CorruptBlob: it is missing in the store, or damaged.
    """
    count, last = 0, b"\n"
    for block in store.blob_blocks(file.blob):
        count, last = count + block.count(b"\n"), block[-1:]
    return count + (last != b"\n")
