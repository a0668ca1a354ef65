"""Reads plain text: each line of a file, or each file of a folder, is a row with the column ``text``."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import pyarrow as pa

from longshore.shared.datasets import bounds
from longshore.shared.datasets.checks import check_request
from longshore.shared.datasets.file_listing import TEXTS, DatasetFile, describe_skipped, list_all, listing_digest
from longshore.shared.datasets.files import one_line, open_bytes, reading
from longshore.shared.datasets.readers.lines import (
    UTF8_BOM,
    Positions,
    first_offset,
    first_piece,
    is_last,
    read_fully,
    split_json_lines,
)
from longshore.shared.datasets.readers.text import TextSource, parse_rows
from longshore.shared.datasets.rebatch import rebatch
from longshore.shared.datasets.segments import Segment, cut
from longshore.shared.datasets.uses import ColumnUses
from longshore.shared.errors import DataError
from longshore.shared.specs.train.row_layout import TEXT
from longshore.shared.store.address import public

_SCHEMA = pa.schema([(TEXT, pa.string())])
#: How many bytes of files ``head`` and a group of rows have, at most one file more than this.
_GROUP_BYTES = 16 << 20


@dataclass(frozen=True)
class PlainText:
    """Takes each line that is not blank as it is, without its line break."""

    def split(self, content: bytes, last: bool) -> tuple[Positions, int]:
        return split_json_lines(content, last)

    def types(self, uses: ColumnUses) -> pa.Schema:
        return _SCHEMA

    def parse(self, content: bytes, schema: pa.Schema) -> pa.Table:
        lines = [line.removesuffix(b"\r").decode() for line in content.split(b"\n") if line.strip()]
        return pa.table({TEXT: pa.array(lines, pa.string())}).select(schema.names)

    def parse_singly(self, content: bytes, schema: pa.Schema) -> pa.Table:
        return self.parse(content, schema)


def open_plain_text(uri: str) -> TextSource:
    """Open a file whose lines are rows: reads the first block.

    :raises DataError: the file cannot be read, has no rows, or its first block is not UTF-8.
    """
    with reading(uri), open_bytes(uri) as file:
        begin = first_offset(file)
        first = first_piece(file, begin, split_json_lines)
        if first is None:
            raise DataError(f"{public(uri)} has no rows")
        text = PlainText()
        parse_rows(uri, first, 0, lambda content: text.parse(content, _SCHEMA))
        return TextSource(uri, text, begin, first.rows if is_last(file, first) else None)


class TextFiles:
    """The text files of a folder or a glob, sorted by path. Each file is a row. Opening it reads none of them.

    :param listing: the digest of the file listing at submission.
    :raises DataError: the listing has changed, or a file is empty or too large.
    """

    schema = _SCHEMA

    def __init__(self, uri: str, listing: str | None) -> None:
        self._uri = uri
        listed = list_all(uri, TEXTS)
        self._files = listed.files
        if listing not in (None, listing_digest(self._files)):
            raise DataError(f"{public(uri)}: files were added, removed or rewritten after the job was submitted")
        for file in self._files:
            _check_size(file)
        #: Notes on unusual data, a sentence each.
        self.notes = (f"skipped {describe_skipped(listed.skipped)}",) if listed.skipped else ()
        self.rows = len(self._files)

    def head(self, rows: int = 1024) -> pa.RecordBatch:
        """The first rows, of at most 16 MiB and one file more, so that it is quick."""
        with reading(self._uri):
            return next(_groups(self._files[:rows])).combine_chunks().to_batches()[0]

    def segments(self, rows_per_shard: int | None) -> list[Segment]:
        return cut([0, self.rows], rows_per_shard)

    def batches(
        self, segment: Segment, columns: Sequence[str], batch_rows: int, strict: bool = True
    ) -> Iterator[pa.RecordBatch]:
        check_request(self._uri, _SCHEMA, self.rows, segment, columns)
        tables = (table.select(list(columns)) for table in _groups(self._files[segment.start : segment.stop]))
        with reading(self._uri):
            yield from rebatch(tables, batch_rows)


def _check_size(file: DatasetFile) -> None:
    if file.size > bounds.MAX_ROW_BYTES:
        raise DataError(
            f"{public(file.uri)} has {file.size:,} bytes; a text has at most {bounds.MAX_ROW_BYTES:,}: split the file"
        )
    if file.size == 0:
        raise DataError(f"{public(file.uri)} is empty; remove it, or leave it out of the pattern")


def _groups(files: Sequence[DatasetFile]) -> Iterator[pa.Table]:
    """The texts of files, in tables of about 16 MiB."""
    texts: list[str] = []
    size = 0
    for file in files:
        texts.append(_read(file))
        size += file.size
        if size >= _GROUP_BYTES:
            yield pa.table({TEXT: pa.array(texts, pa.string())})
            texts, size = [], 0
    if texts:
        yield pa.table({TEXT: pa.array(texts, pa.string())})


def _read(file: DatasetFile) -> str:
    """:raises DataError: the file is not UTF-8, has only white space, or another size than when it was listed."""
    with reading(file.uri), open_bytes(file.uri) as opened:
        content = read_fully(opened, file.size + 1)
    if len(content) != file.size:
        raise DataError(f"{public(file.uri)} has a different size than when the folder was listed: it was rewritten")
    try:
        text = content.removeprefix(UTF8_BOM).decode()
    except UnicodeDecodeError as error:
        raise DataError(f"{public(file.uri)}: {one_line(error)}") from None
    if not text.strip():
        raise DataError(f"{public(file.uri)} has only white space; remove it, or leave it out of the pattern")
    return text.replace("\r\n", "\n")
