"""Where a job's output files lie, and what they are called."""

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
#: File systems that cannot be written to, or that other processes do not see.
_UNFIT = ("http", "https", "memory", "data")
#: The column of row numbers.
ROW: Final = "row"
#: Columns that an output file has of its own, now or with other options.
RESERVED = frozenset({ROW, "label", "score", "value", "embedding", "logits", "top_k"})


@dataclass(frozen=True)
class OutputPattern:
    """``folder/before*after.parquet``: the star stands for the job and the shard."""

    #: A path, or a URL without a slash at its end.
    folder: str
    before: str
    #: With the suffix.
    after: str
    format: OutputFormat

    @classmethod
    def parse(cls, address: str) -> OutputPattern:
        """Read a path or a URL; a path is made absolute here.

        :raises InvalidInput: it is not ``folder/*.parquet`` or ``folder/*.jsonl``; names ``output``.
        """
        shown = public(address)
        if "::" in address or (is_remote(address) and ("?" in address or "#" in address)):
            raise InvalidInput("output", f"{shown}: files cannot be written through a URL within a URL, or a query")
        scheme = address.partition("://")[0] if is_remote(address) else ""
        if scheme in _UNFIT:
            raise InvalidInput("output", f"{shown}: files cannot be written to {scheme}://; use a folder or a bucket")
        if not is_remote(address):
            plain = address.removeprefix("file://").removeprefix("local://")
            address = str(Path(plain).expanduser().absolute()) if plain else ""
        folder, _, name = address.rpartition("/")
        form = next((form for suffix, form in _FORMATS.items() if name.endswith(suffix)), None)
        if form is None or name.count("*") != 1 or "*" in folder or "\0" in address:
            raise InvalidInput(
                "output",
                f"{shown}: give a folder and a name with one *, as in folder/*.parquet or folder/*.jsonl",
            )
        if is_remote(address) and folder.endswith(("//", ":/")):
            raise InvalidInput("output", f"{shown}: names no bucket or folder")
        before, _, after = name.partition("*")
        if before[:1] in ("_", "."):
            raise InvalidInput("output", f"{shown}: readers of a folder leave out names that begin with {before[0]!r}")
        return cls(folder or "/", before, after, form)

    @property
    def address(self) -> str:
        """As it was given, but absolute."""
        return f"{self.folder.removesuffix('/')}/{self.before}*{self.after}"

    def output_file(self, job: UUID, shard: int) -> str:
        """The name of a shard's file. No two jobs have one in common."""
        return f"{self.before}{job}-{shard:05}{self.after}"

    def hidden_folder(self, job: UUID) -> str:
        """The name of the folder that has the files which no reader is to see. Those of datasets leave out ``_``."""
        return f"_longshore-{job}"

    def hidden(self, job: UUID, shard: int, attempt: int) -> str:
        """What an attempt's file is called, below the folder, until it is published."""
        return f"{self.hidden_folder(job)}/{shard}-{attempt}.{self.format}"

    def uri(self, name: str) -> str:
        """The address of a file below the folder."""
        return f"{self.folder.removesuffix('/')}/{name}"

    def matches(self, name: str) -> bool:
        """Whether a file of this name, directly in the folder, could be a part."""
        return bool(re.fullmatch(f"{re.escape(self.before)}.*{re.escape(self.after)}", name, re.DOTALL))


def output_columns(outputs: pa.StructArray) -> dict[str, pa.Array]:
    """The columns of outputs, ``(n,)`` without nulls. Text that is kept once for many rows becomes plain text."""
    named = zip((field.name for field in outputs.type), outputs.flatten(), strict=True)
    return {name: plain(column) for name, column in named}


def plain(column: pa.Array) -> pa.Array:
    """A column without a dictionary: each file would have one of its own."""
    return column.dictionary_decode() if pa.types.is_dictionary(column.type) else column
