"""The shards of a session: the rows of each that wait, that the engine has, and that are done and not committed."""

from __future__ import annotations

import json
import logging
import time
from collections import deque
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Final, TypeAlias
from uuid import UUID

from longshore.shared import limits
from longshore.shared.errors import InvalidInput
from longshore.shared.ledger.records import Claim
from longshore.shared.ledger.shards.partial_texts import TextPiece
from longshore.shared.ledger.shards.row_commits import CommittedRows, DoneRows
from longshore.shared.specs.generate import GenerateSpec
from longshore.workers.generate.engines.base import BegunText, Completion, Engine, EngineRequest
from longshore.workers.generate.rows import PreparedRow
from longshore.workers.generate.session.partial_texts import TextName, text_piece
from longshore.workers.generate.session.text_streams import StreamedText, TextPublisher
from longshore.workers.process.logs.lines import RunLines

if TYPE_CHECKING:
    from longshore.workers.context import WorkerContext
    from longshore.workers.generate.engines.base import AdapterFiles
    from longshore.workers.generate.outputs import Output, OutputWriter

log = logging.getLogger(__name__)

#: Bytes of a log probability in an output, at least: ``{"token": "", "logprob": 0.0}, ``.
_LOGPROB_BYTES: Final = 30

#: The job and the index of a shard.
ShardName: TypeAlias = tuple[UUID, int]


@dataclass(frozen=True)
class ReadRow:
    """A row that was read: what to run, or why it cannot be run."""

    #: Its number in the job.
    number: int
    prepared: PreparedRow | str
    #: The columns that the job keeps, as a JSON text; ``None`` if it keeps none.
    key: str | None = None


@dataclass(frozen=True)
class DoneRow:
    """A row that is done: its output as a JSON text, or its error."""

    number: int
    output: str | None
    error: str | None
    key: str | None
    prompt_tokens: int = 0
    completion_tokens: int = 0
    cached_tokens: int = 0

    @property
    def size(self) -> int:
        """Characters to be stored, about."""
        return len(self.output or self.error or "")


class RowRun:
    """A row that the engine has: one request for each of its texts.

    :param ids: those of its requests.
    """

    def __init__(self, shard: RunningShard, row: ReadRow, prepared: PreparedRow, ids: list[int]) -> None:
        self.shard = shard
        self.row = row
        self.prepared = prepared
        self.ids = ids
        self._completions: dict[int, Completion] = {}
        self._logprobs = 0
        #: Tokens of each text that are saved. Those of a begun text are saved once more: it may have begun anew.
        self._saved = [0] * len(ids)

    def add_to(self, engine: Engine, texts: TextPublisher) -> None:
        """Give the engine a request for each text.

        :param texts: publishes them, if the job asks for it.
        :raises InvalidInput: as :meth:`Engine.add`; the engine has none of the requests then.
        """
        assert self.shard.spec is not None
        assert self.shard.writer is not None
        claim, row, streamed = self.shard.claim, self.prepared, self.shard.spec.streamed
        for index, (id_, sampling) in enumerate(zip(self.ids, row.samplings, strict=True)):
            request = EngineRequest(
                id=id_,
                tokens=row.tokens,
                sampling=sampling,
                adapter=self.shard.adapter,
                streamed=streamed,
                begun=self.shard.begun.get((self.row.number, index)),
            )
            try:
                engine.add(request)
            except InvalidInput:
                engine.cancel(self.ids)
                raise
        for index, (id_, sampling) in enumerate(zip(self.ids, row.samplings, strict=True) if streamed else ()):
            decoder = self.shard.writer.text_decoder(sampling)
            text = StreamedText(claim.job_id, self.row.number, index, claim.attempt, decoder, row.prefix)
            texts.begin(id_, text)

    def unsaved(self, texts: Mapping[int, BegunText]) -> list[TextPiece]:
        """What is not saved of its texts. It counts as saved from here on.

        :param texts: what they have, by the ids of their requests.
        """
        parts = []
        for index, id_ in enumerate(self.ids):
            text = texts.get(id_)
            if text is not None and len(text.tokens) > self._saved[index]:
                parts.append(text_piece((self.row.number, index), text, self._saved[index]))
                self._saved[index] = len(text.tokens)
        if parts:
            self.shard.saved.add(self.row.number)
        return parts

    def forget_saved(self) -> None:
        """It is not known what is saved of its texts: save all again."""
        self._saved = [0] * len(self.ids)

    @property
    def excess(self) -> str | None:
        """Why the row has no output although its other texts have not ended: its log probabilities alone are more than
        is stored, and would take gigabytes of memory.
        """
        size = self._logprobs * _LOGPROB_BYTES
        return _too_large(size, "more than ") if size > limits.MAX_RESULT_BYTES else None

    def take(self, completion: Completion) -> bool:
        """Take one text. Returns whether the row is complete."""
        self._completions[completion.id] = completion
        self._logprobs += sum(1 + len(each.top) for each in completion.logprobs or ())
        return len(self._completions) == len(self.ids)

    def done(self) -> DoneRow:
        """A complete row with its output, or why it has none."""
        completions = [self._completions[id_] for id_ in self.ids]
        assert self.shard.writer is not None
        try:
            output = self.shard.writer.write(self.prepared, completions)
            text, error = (None, output) if isinstance(output, str) else _as_text(output)
        except Exception as failure:  # what a model writes must not end the rows of others
            text, error = None, f"its output cannot be written: {type(failure).__name__}: {failure}"
        if text is None:
            return self.failed(error or "")
        tokens = sum(len(each.tokens) for each in completions)
        prompt, cached = len(self.prepared.tokens), completions[0].cached_tokens
        return DoneRow(self.row.number, text, None, self.row.key, prompt, tokens, cached)

    def failed(self, error: str) -> DoneRow:
        """The row without an output."""
        return DoneRow(self.row.number, None, error, self.row.key)


@dataclass(eq=False)
class RunningShard:
    """One shard of a session."""

    claim: Claim
    #: Ends with the shard: its log.
    stack: ExitStack
    #: In seconds of the monotonic clock.
    ends_at: float = float("inf")
    #: Set when its first row is read, by the thread that reads.
    spec: GenerateSpec | None = None
    adapter: AdapterFiles | None = None
    writer: OutputWriter | None = None
    #: Rows that had been committed before this attempt.
    before: DoneRows = field(default_factory=DoneRows)
    #: What earlier attempts have left of texts.
    begun: dict[TextName, BegunText] = field(default_factory=dict)
    #: The numbers of rows of whose texts something is saved, or may be.
    saved: set[int] = field(default_factory=set)
    #: Windows of rows that are not read yet; ``None`` until the first is read.
    windows: Iterator[list[ReadRow]] | None = None
    #: Whether every row is read, or nobody needs more.
    read: bool = False
    #: Why reading has ended.
    error: Exception | None = None
    #: Rows to run.
    waiting: deque[ReadRow] = field(default_factory=deque)
    #: Rows that the engine has, by the first id of their requests.
    running: dict[int, RowRun] = field(default_factory=dict)
    #: Rows to commit.
    done: list[DoneRow] = field(default_factory=list)
    #: Characters of them, about.
    done_size: int = 0
    results: int = 0
    errors: int = 0
    #: What is logged of its begin and its end; ``None``: nothing.
    lines: RunLines | None = None
    began_at: float = field(default_factory=time.monotonic)
    #: When the engine got its first row; ``None`` before.
    computing_since: float | None = None
    #: Whether its last rows are being committed.
    finishing: bool = False

    @classmethod
    def begin(cls, context: WorkerContext, claim: Claim) -> RunningShard:
        """A shard of which nothing is read yet. What is logged of it goes to its log from now on."""
        shard = cls(claim, ExitStack())
        shard.stack.enter_context(context.logs.of(claim))
        if claim.batch_key is None or shard.alone:  # of small shards there are thousands
            shard.lines = RunLines(log, [claim], context.worker)
        if context.worker.shard_timeout is not None:
            shard.ends_at = time.monotonic() + context.worker.shard_timeout
        return shard

    @property
    def name(self) -> ShardName:
        """The job and the index of the shard."""
        return self.claim.job_id, self.claim.shard

    @property
    def rows(self) -> int:
        """Rows of the shard."""
        return self.claim.stop - self.claim.start

    @property
    def is_late(self) -> bool:
        """Whether its time has run out."""
        return time.monotonic() > self.ends_at

    @property
    def alone(self) -> bool:
        """Whether it may have ended its worker before: then no other shard runs beside it."""
        return self.claim.failed_before

    @property
    def complete(self) -> bool:
        """Whether every row is done, committed or not."""
        return self.read and self.error is None and not self.waiting and not self.running

    @property
    def committable(self) -> bool:
        """Whether it has something to commit."""
        return bool(self.done) or (self.complete and not self.finishing)

    def add(self, row: DoneRow) -> None:
        """A row is done."""
        self.done.append(row)
        self.done_size += row.size
        if row.error is None:
            self.results += 1
        else:
            self.errors += 1

    def take_part(self, room: int) -> Part:
        """The rows to commit: those that are done and not taken before.

        :param room: characters of them, about; one row can have more.
        :raises RuntimeError: the shard has other rows than were read.
        """
        before = self.done_size
        count = 0
        while count < len(self.done) and (not count or before - self.done_size < room):
            self.done_size -= self.done[count].size
            count += 1
        rows, self.done = self.done[:count], self.done[count:]
        finished = None
        if self.complete and not self.done:
            self.finishing = True
            finished = len(self.before.results) + self.results
            total = finished + len(self.before.errors) + self.errors
            if total != self.rows:
                raise RuntimeError(f"shard {self.claim.token} has {self.rows} rows, but {total} were read")
        return Part(self, rows, finished)


@dataclass(frozen=True)
class Part:
    """Rows of a shard that are committed together."""

    shard: RunningShard
    rows: Sequence[DoneRow]
    #: Set for the last rows of the shard: how many of its rows have results.
    finished_rows: int | None

    @property
    def size(self) -> int:
        """Characters to be stored, about."""
        return sum(row.size for row in self.rows)

    @property
    def keyed(self) -> bool:
        """Whether the job keeps columns."""
        return self.shard.spec is not None and bool(self.shard.spec.keep)

    def without(self, done: DoneRows) -> Part:
        """Without rows that are committed already."""
        return replace(self, rows=[row for row in self.rows if row.number not in done])

    def committed(self) -> CommittedRows:
        """As the ledger takes it."""
        failed = [row for row in self.rows if row.error is not None]
        saved = [row.number for row in self.rows if row.number in self.shard.saved]
        if self.finished_rows is not None:  # a worker of an earlier release may have committed rows, and left this
            saved += [number for number in self.shard.saved if number in self.shard.before]
        return CommittedRows(
            claim=self.shard.claim,
            rows=len(self.rows) - len(failed),
            errors={row.number: row.error for row in failed if row.error is not None},
            keys={row.number: row.key for row in failed if row.key is not None},
            finished_rows=self.finished_rows,
            prompt_tokens=sum(row.prompt_tokens for row in self.rows),
            completion_tokens=sum(row.completion_tokens for row in self.rows),
            cached_tokens=sum(row.cached_tokens for row in self.rows),
            seconds=0.0 if (since := self.shard.computing_since) is None else time.monotonic() - since,
            saved=saved,
        )


def _as_text(output: Output) -> tuple[str | None, str | None]:
    """An output as a JSON text, or why it cannot be stored."""
    text = json.dumps(output, ensure_ascii=False)
    size = len(text.encode())
    return (text, None) if size <= limits.MAX_RESULT_BYTES else (None, _too_large(size))


def _too_large(size: int, more: str = "") -> str:
    most = f"at most {limits.MAX_RESULT_BYTES:,} are stored; ask for fewer tokens, texts or log probabilities"
    return f"its result has {more}{size:,} bytes as JSON, and {most}"
