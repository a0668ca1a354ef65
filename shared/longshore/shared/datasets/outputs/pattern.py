"""The folder and the names of a job's output files."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Literal
from uuid import UUID

import pyarrow as pa

from longshore.shared.errors import InvalidInput
from longshore.shared.store.address import is_remote, public

OutputFormat = Literal["parquet", "jsonl"]
_FORMATS: Final[dict[str, OutputFormat]] = {".parquet": "parquet", ".jsonl": "jsonl"}
#: File systems that are read-only, or that other processes cannot see.
_UNSUPPORTED_SCHEMES = ("http", "https", "memory", "data")
#: The column of row numbers.
ROW: Final = "row"
#: Columns that Longshore itself writes to output files, with some combination of options.
RESERVED = frozenset({ROW, "label", "score", "value", "embedding", "logits", "top_k"})


@dataclass(frozen=True)
class OutputPattern:
    """An output address such as ``folder/before*after.parquet``; ``*`` stands for the job and the shard."""

    #: A path, or a URL without a trailing slash.
    folder: str
    before: str
    #: Includes the suffix.
    after: str
    format: OutputFormat

    @classmethod
    def parse(cls, address: str) -> OutputPattern:
        """Parse a path or a URL; a path is made absolute.

        :raises InvalidInput: it does not have the form ``folder/*.parquet`` or ``folder/*.jsonl``; names ``output``.
        """
        shown = public(address)
        if "::" in address or (is_remote(address) and ("?" in address or "#" in address)):
            raise InvalidInput("output", f"{shown}: files cannot be written to a chained URL or a URL with a query")
        scheme = address.partition("://")[0] if is_remote(address) else ""
        if scheme in _UNSUPPORTED_SCHEMES:
            raise InvalidInput("output", f"{shown}: files cannot be written to {scheme}://; use a folder or a bucket")
        if not is_remote(address):
            path = address.removeprefix("file://").removeprefix("local://")
            address = str(Path(path).expanduser().absolute()) if path else ""
        folder, _, name = address.rpartition("/")
        format = next((format for suffix, format in _FORMATS.items() if name.endswith(suffix)), None)
        if format is None or name.count("*") != 1 or "*" in folder or "\0" in address:
            raise InvalidInput(
                "output",
                f"{shown}: give a folder and a name with one *, as in folder/*.parquet or folder/*.jsonl",
            )
        if is_remote(address) and folder.endswith(("//", ":/")):
            raise InvalidInput("output", f"{shown}: has no bucket or folder; add one before the file name")
        before, _, after = name.partition("*")
        if before[:1] in ("_", "."):
            raise InvalidInput(
                "output", f"{shown}: readers skip file names that begin with {before[0]!r}; use a different name"
            )
        return cls(folder or "/", before, after, format)

    @property
    def address(self) -> str:
        """The pattern as an absolute path or a URL."""
        return f"{self.folder.removesuffix('/')}/{self.before}*{self.after}"

    def output_file(self, job: UUID, shard: int) -> str:
        """The name of a shard's output file. It is unique among all jobs."""
        return f"{self.before}{job}-{shard:05}{self.after}"

    def hidden_folder(self, job: UUID) -> str:
        """The folder for files that readers must not see yet: dataset readers skip names that begin with ``_``."""
        return f"_longshore-{job}"

    def hidden(self, job: UUID, shard: int, attempt: int) -> str:
        """The path of an attempt's file, relative to the folder, until it is published."""
        return f"{self.hidden_folder(job)}/{shard}-{attempt}.{self.format}"

    def uri(self, name: str) -> str:
        """The address of a file, from its path relative to the folder."""
        return f"{self.folder.removesuffix('/')}/{name}"

    def matches(self, name: str) -> bool:
        """Whether a file name matches the pattern."""
        return bool(re.fullmatch(f"{re.escape(self.before)}.*{re.escape(self.after)}", name, re.DOTALL))


def output_columns(outputs: pa.StructArray) -> dict[str, pa.Array]:
    """The columns of n outputs, each of shape (n,). Dictionary-encoded text becomes plain text."""
    named = zip((field.name for field in outputs.type), outputs.flatten(), strict=True)
    return {name: plain(column) for name, column in named}


def plain(column: pa.Array) -> pa.Array:
    """A column without dictionary encoding: each file would have its own dictionary, and so a different type."""
    return column.dictionary_decode() if pa.types.is_dictionary(column.type) else column
