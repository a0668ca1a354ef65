"""Reads the rows of a training of a language model, and writes their tokens to files."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TypeVar

import numpy as np
import pyarrow as pa

from longshore.shared.datasets.prompts import read_messages
from longshore.shared.datasets.uses import ColumnUses
from longshore.shared.errors import InvalidInput
from longshore.shared.specs.train import TrainSpec
from longshore.shared.specs.train.row_layout import RowLayout, layout_of
from longshore.workers.inputs.inline_blocks import InlineBlocks
from longshore.workers.train.callbacks import Check
from longshore.workers.train.data.split import Codes, split_by_fraction
from longshore.workers.train.data.stream.open import open_source_of, splitter_of
from longshore.workers.train.data.stream.reader import StreamSource, batches, cut_runs
from longshore.workers.train.data.stream.splitting import TEST, TRAIN, VALIDATION, ConstantSplitter, HashSplitter
from longshore.workers.train.language.documents import Document, DocumentReader
from longshore.workers.train.language.pairs import PairReader
from longshore.workers.train.language.token_store import TokenizedTexts, TokenWriter

_Read = TypeVar("_Read")
#: The splits, by their numbers.
PARTS = {TRAIN: "train", VALIDATION: "validation", TEST: "test"}
#: Up to so many rows exactly the fractions are held out; of more rows, each is drawn by itself.
_EXACT_ROWS = 1 << 20
#: How many numbers a row is taken for, which bounds the rows that are read at a time.
_WIDTH = 4096


@dataclass(frozen=True)
class _Row:
    #: The argument that brought it, and its number.
    field: str
    number: int
    part: int
    target: object
    prompt: object
    #: Of preferences, the answer that is worse than the target.
    rejected: object = None


@dataclass(frozen=True)
class DrawnSplitter:
    """A :class:`~longshore.workers.train.data.stream.splitting.Splitter`: rows are where they were drawn to."""

    codes: Codes
    columns: Sequence[str] = ()

    def parts(self, batch: pa.RecordBatch, start: int) -> Codes:
        """The splits of the rows from ``start`` on."""
        return self.codes[start : start + batch.num_rows]


@dataclass(frozen=True)
class TextStreams:
    """The rows that a spec names, read again as often as needed."""

    streams: Sequence[StreamSource]
    spec: TrainSpec
    layout: RowLayout
    check: Check

    def texts(self) -> Iterator[str]:
        """All texts of the rows to train on, for a tokenizer."""
        for row in self._rows():
            if row.part != TRAIN:
                continue
            if self.layout == "messages":
                yield from (str(each["content"] or "") for each in _named(row, lambda row: read_messages(row.target)))
            else:
                yield from (each for each in (row.prompt, row.target) if isinstance(each, str))

    def tokenize(self, reader: DocumentReader, folder: Path) -> dict[int, TokenizedTexts]:
        """The documents of each split.

        :param folder: where their files are made; it must stay as long as they are used.
        :raises InvalidInput: a row is bad; names it.
        """
        return self._written(self._documents(reader), folder, masked=self.layout != "text")

    def tokenize_pairs(self, reader: PairReader, folder: Path) -> dict[int, TokenizedTexts]:
        """Of rows of preferences, two documents each: with the better answer, and with the worse one.

        :param folder: as for :meth:`tokenize`.
        :raises InvalidInput: a row is bad or too long; names it.
        """
        documents = (
            (row.part, document)
            for row in self._rows()
            for document in _named(row, lambda row: reader.read(row.prompt, row.target, row.rejected))
        )
        return self._written(documents, folder, masked=True)

    def _written(
        self, documents: Iterable[tuple[int, Document]], folder: Path, *, masked: bool
    ) -> dict[int, TokenizedTexts]:
        with ExitStack() as stack:
            writers = {
                part: stack.enter_context(TokenWriter(folder, name, masked=masked)) for part, name in PARTS.items()
            }
            for part, document in documents:
                writers[part].add(document)
        return {part: writer.texts() for part, writer in writers.items()}

    def _documents(self, reader: DocumentReader) -> Iterator[tuple[int, Document]]:
        if self.layout == "text":
            for rows in _grouped(self._rows()):
                texts = [_text(row) for row in rows]
                for row, document in zip(rows, reader.texts(texts), strict=True):
                    if isinstance(document, str):
                        raise _bad(row, document)
                    yield row.part, document
            return
        for row in self._rows():
            if self.layout == "messages":
                yield row.part, _named(row, lambda row: reader.messages(row.target))
            else:
                yield row.part, _named(row, lambda row: reader.completion(row.prompt, row.target))

    def _rows(self) -> Iterator[_Row]:
        names = self.spec.text_columns
        pairs = self.layout == "preference"
        for stream in self.streams:
            for run in range(len(stream.runs)):
                for start, batch in batches(stream, run, names, _WIDTH):
                    self.check()
                    parts = stream.splitter.parts(batch, start).tolist()
                    targets = batch.column(self.spec.target).to_pylist()
                    none = [None] * len(parts)
                    prompts = batch.column(names[0]).to_pylist() if len(names) > 1 else none
                    rejected = batch.column(self.spec.rejected).to_pylist() if pairs else none
                    for number, values in enumerate(zip(parts, targets, prompts, rejected, strict=True), start):
                        yield _Row(stream.field, number, *values)


def open_texts(spec: TrainSpec, blocks: InlineBlocks, check: Check) -> TextStreams:
    """Open what ``spec`` names.

    :raises DataError: a file cannot be read, or is not what it was at submission.
    :raises InvalidInput: a column is missing, or no row is held out although some should be.
    """
    names = {*spec.text_columns, *([spec.split] if spec.split else [])}
    uses = ColumnUses(texts=frozenset(names))
    streams = []
    for name, data, part in (
        ("data", spec.data, TRAIN),
        ("validation", spec.validation, VALIDATION),
        ("test", spec.test, TEST),
    ):
        if isinstance(data, float):
            continue
        source = open_source_of(data, blocks, uses)
        for column in sorted(names - set(source.schema.names)):
            if name == "data" or column != spec.split:
                raise InvalidInput(name, f"has no column {column!r}; it has {', '.join(source.schema.names[:20])}")
        streams.append(StreamSource(name, source, cut_runs(source), ConstantSplitter(part)))
    streams[0] = _split(streams[0], spec)
    head = streams[0].source.head(1).column(spec.target)
    layout = layout_of(spec.features or (), head[0].as_py() if len(head) else None)
    return TextStreams(streams, spec, "preference" if spec.task == "preference" else layout, check)


def _split(stream: StreamSource, spec: TrainSpec) -> StreamSource:
    splitter = splitter_of(spec)
    if isinstance(splitter, HashSplitter) and stream.rows <= _EXACT_ROWS:
        drawn = split_by_fraction(np.zeros(stream.rows, np.int64), splitter.validation, splitter.test, spec.seed)
        codes = np.full(stream.rows, TRAIN, np.int8)
        codes[drawn.validation], codes[drawn.test] = VALIDATION, TEST
        return replace(stream, splitter=DrawnSplitter(codes))
    return replace(stream, splitter=splitter)


def _text(row: _Row) -> str:
    if not isinstance(row.target, str):
        raise _bad(row, "has no text" if row.target is None else f"the target {row.target!r:.80} is no text")
    return row.target


def _named(row: _Row, read: Callable[[_Row], _Read]) -> _Read:
    try:
        return read(row)
    except ValueError as error:
        raise _bad(row, str(error)) from None


def _bad(row: _Row, reason: str) -> InvalidInput:
    return InvalidInput(row.field, f"row {row.number}: {reason}; correct or remove it")


def _grouped(rows: Iterator[_Row], size: int = 512) -> Iterator[list[_Row]]:
    group: list[_Row] = []
    for row in rows:
        group.append(row)
        if len(group) == size:
            yield group
            group = []
    if group:
        yield group
