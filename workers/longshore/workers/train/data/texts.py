"""Tokenizes a column of text to rows of ids."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from longshore.shared.datasets.columns.texts import to_texts
from longshore.shared.errors import CorruptBlob, DataError, InvalidInput
from longshore.shared.specs.families import FamilyConfig
from longshore.shared.specs.signature import Signature
from longshore.shared.specs.tokenizer import Tokenizer
from longshore.shared.specs.train import TrainSpec
from longshore.shared.specs.validation import build
from longshore.workers.runtimes.text_family import PADDING, make_reader
from longshore.workers.runtimes.tokens import TextReader, Tokens
from longshore.workers.train.data.split import Rows
from longshore.workers.train.data.tokenizer_training import train_tokenizer

#: Texts tokenized in one step.
_CHUNK = 8192

#: Tables, each with the field of the spec that names it; the rows to train on are of the first.
NamedTables: TypeAlias = list[tuple[str, pa.Table]]


@dataclass(frozen=True)
class FittedTokenizer:
    """A tokenizer, and the length of each row in tokens."""

    #: The content of ``tokenizer.json``.
    content: str
    #: One more than the largest id.
    vocabulary: int
    #: Ids of each row, padding left out, int64 ``(n,)``; 1 or more.
    lengths: npt.NDArray[np.int64]
    notes: tuple[str, ...]

    def with_vocabulary(self, family: type[FamilyConfig], config: FamilyConfig) -> FamilyConfig:
        """A family's configuration with the vocabulary set.

        :raises InvalidInput: it has another vocabulary, or the family reads no texts.
        """
        if not family.reads_tokens:
            raise InvalidInput("features", "the family reads no texts; name the columns to predict from, without them")
        configured = getattr(config, "vocabulary", None)
        if configured not in (None, self.vocabulary):
            raise InvalidInput(
                "config.vocabulary", f"{configured}: the tokenizer has {self.vocabulary} entries; leave it out"
            )
        return build(family, {**config.model_dump(), "vocabulary": self.vocabulary}, "config.")


def tokenise(
    spec: TrainSpec, tables: NamedTables, train: Rows, signature: Signature, known: str | None
) -> tuple[npt.NDArray[np.float32], FittedTokenizer]:
    """Rows of ids, float32 ``(n, longest)``, padded with 0 on the right.

    :param train: the rows of the first table that a tokenizer is trained on. It sees no others.
    :param known: the content of the tokenizer that ``spec`` names; ``None`` to train one.
    :raises InvalidInput: a row has no text, or the tokenizer cannot be used.
    """
    name = signature.features[0].name
    for field, table in tables:
        _refuse_missing(table.select([name]), signature, field)
    options = spec.tokenizer or Tokenizer()
    if known is None:
        known = train_tokenizer(options, _texts(tables[0][1].select([name]), signature, train))
        reader = make_reader(known, signature, "tokenizer")
    else:
        reader = _open(options, known, signature)
    parts = [_read(reader, part, field, start) for field, table in tables for start, part in _batches(table)]
    lengths = np.concatenate([part.lengths for part in parts])
    rows = np.zeros((len(lengths), int(lengths.max())), np.float32)
    start = 0
    for part in parts:
        padded, _ = part.padded(slice(0, len(part)), PADDING)
        rows[start : start + len(part), : padded.shape[1]] = padded
        start += len(part)
    notes = tuple(dict.fromkeys(note for part in parts for note in part.notes))
    return rows, FittedTokenizer(known, reader.vocabulary, lengths, notes)


def _texts(table: pa.Table, signature: Signature, rows: Rows) -> list[str]:
    """The texts of some rows."""
    selected = np.zeros(table.num_rows, bool)
    selected[rows] = True
    return [
        text
        for start, part in _batches(table)
        for text in to_texts(
            part.filter(pa.array(selected[start : start + part.num_rows])), signature.features[0]
        ).values
    ]


def _open(options: Tokenizer, known: str, signature: Signature) -> TextReader:
    """:raises InvalidInput: the tokenizer cannot be used, or has another id for padding."""
    try:
        reader = make_reader(known, signature, "tokenizer")
    except CorruptBlob as error:
        raise InvalidInput("tokenizer", f"of {options.version}: {error}") from error
    if "pad" not in (reader.first or "").lower():
        raise InvalidInput(
            "tokenizer",
            f"id 0 of {options.version} is {reader.first!r}, and a family takes 0 for padding; use another tokenizer",
        )
    return reader


def _read(reader: TextReader, part: pa.RecordBatch, field: str, start: int) -> Tokens:
    tokens = reader.prepare(part)
    if tokens.errors:
        row = min(tokens.errors)
        raise InvalidInput(field, f"row {start + row}: {tokens.errors[row]}; correct or remove it")
    return tokens


def _refuse_missing(table: pa.Table, signature: Signature, field: str) -> None:
    for start, part in _batches(table):
        try:
            errors = to_texts(part, signature.features[0]).errors
        except DataError as error:
            raise InvalidInput(field, str(error)) from None
        if errors:
            row = min(errors)
            raise InvalidInput(field, f"row {start + row}: {errors[row]}; correct or remove it")


def _batches(table: pa.Table) -> Iterator[tuple[int, pa.RecordBatch]]:
    """Yield the batches of a table, each with the number of its first row."""
    start = 0
    for batch in table.to_batches(max_chunksize=_CHUNK):
        yield start, batch
        start += batch.num_rows
