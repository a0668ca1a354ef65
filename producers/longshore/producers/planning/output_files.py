"""Checks, before a job is queued, that it can write its output files."""

from __future__ import annotations

import os
import re
from collections import Counter
from collections.abc import Sequence
from pathlib import Path, PurePosixPath
from urllib.parse import urlsplit

import fsspec.utils
import pyarrow as pa
import pyarrow.parquet as pq
from uuid_utils.compat import uuid7

from longshore.shared.datasets.access.credentials import check_no_credentials
from longshore.shared.datasets.access.roots import data_roots
from longshore.shared.datasets.file_listing import PARQUET, is_glob
from longshore.shared.datasets.outputs.folder import OutputFolder
from longshore.shared.datasets.outputs.pattern import RESERVED, OutputFormat, OutputPattern
from longshore.shared.datasets.outputs.writers import to_json_lines
from longshore.shared.datasets.schemas import list_columns
from longshore.shared.errors import DataError, InvalidInput, ServiceUnavailable
from longshore.shared.specs.jobs import FileInput, InferSpec
from longshore.shared.store.address import is_remote, public


def settle_output(spec: InferSpec) -> tuple[InferSpec, OutputPattern | None]:
    """The spec with its output as workers find it, and where that is.

    :raises InvalidInput: options contradict each other, or no files can be written there.
    """
    if spec.output is None:
        if spec.keep:
            raise InvalidInput("keep", "carries columns into output files, and no output is given")
        if spec.results is False:
            raise InvalidInput("results", "False, and no output is given: the outputs would go nowhere")
        return spec, None
    for name, times in Counter(spec.keep).items():
        if times > 1:
            raise InvalidInput("keep", f"{name!r} stands there {times} times")
        if name in RESERVED:
            raise InvalidInput("keep", f"{name!r} is a column of the outputs; rename it in the data")
    check_no_credentials(spec.output, "output")
    pattern = OutputPattern.parse(spec.output)
    _check_place(pattern)
    return spec.model_copy(update={"output": pattern.address}), pattern


def check_free(pattern: OutputPattern) -> None:
    """:raises InvalidInput: there are files that the pattern matches."""
    existing = _listed(pattern)
    if existing:
        raise InvalidInput(
            "output",
            f"{public(pattern.uri(existing[0]))} is there already, of another job or your own; choose another folder, "
            "or remove what matches the pattern",
        )


def check_apart(pattern: OutputPattern, data: FileInput) -> None:
    """:raises InvalidInput: the output would become part of the job's own input, or is it."""
    if is_remote(pattern.folder) != is_remote(data.uri):
        return
    uri, part = _comparable(data.uri), _comparable(pattern.uri(pattern.output_file(uuid7(), 0)))
    folder, _, name = uri.rpartition("/")
    if data.listing is None or data.format != "parquet":
        if folder == part.rpartition("/")[0] and pattern.matches(name):
            raise InvalidInput("output", f"{public(pattern.address)} matches the input {public(data.uri)}")
        return
    if part.lower().endswith(PARQUET) and _picks_up(uri, part, glob=is_glob(data.uri)):
        raise InvalidInput(
            "output",
            f"the files would lie among those of the input {public(data.uri)} and be read with them; choose another "
            "folder",
        )


def check_kept(keep: Sequence[str], schema: pa.Schema, pattern: OutputPattern) -> None:
    """:raises InvalidInput: a column in ``keep`` is missing from the data or cannot be written."""
    there = Counter(schema.names)
    for name in keep:
        if not there[name]:
            raise InvalidInput("keep", f"no column {name!r}; {list_columns(schema.names)}")
        if there[name] > 1:
            raise InvalidInput("keep", f"{there[name]} columns are called {name!r}")
        kind = schema.field(name).type
        kind = kind.value_type if pa.types.is_dictionary(kind) else kind  # written without the encoding
        if not _can_be_written(kind, pattern.format):
            raise InvalidInput(
                "keep",
                f"column {name!r} holds {kind}, which {pattern.format} files cannot; convert it, or leave it out",
            )


def _can_be_written(kind: pa.DataType, form: OutputFormat) -> bool:
    try:
        empty = pa.RecordBatch.from_arrays([pa.array([], kind)], ["column"])
        if form == "jsonl":
            to_json_lines(empty)
        else:
            pq.write_table(pa.Table.from_batches([empty]), pa.BufferOutputStream())
    except (pa.ArrowException, TypeError, NotImplementedError):
        return False
    return True


def _check_place(pattern: OutputPattern) -> None:
    """:raises InvalidInput: no files can be written there."""
    try:
        data_roots().check(pattern.folder, "write")
    except DataError as error:
        raise InvalidInput("output", str(error)) from None
    if is_remote(pattern.folder):
        return
    try:
        folder = Path(pattern.folder)
        while not os.path.lexists(folder):
            folder = folder.parent
        if not folder.is_dir():
            raise InvalidInput("output", f"{folder} is not a folder")
    except (OSError, ValueError) as error:
        raise InvalidInput("output", f"{pattern.folder}: {getattr(error, 'strerror', None) or error}") from None
    if not os.access(folder, os.W_OK | os.X_OK):
        raise InvalidInput("output", f"no files can be written into {folder}: Permission denied")


def _listed(pattern: OutputPattern) -> list[str]:
    try:
        return OutputFolder(pattern, uuid7()).published()
    except (DataError, ServiceUnavailable) as error:
        raise InvalidInput("output", str(error)) from None


def _comparable(address: str) -> str:
    """The canonical address of a file. In a glob, only the part before the first wildcard is resolved."""
    if is_remote(address):
        parts = urlsplit(address)
        return f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}{parts.path}"
    plain = PurePosixPath(address)
    steps = next((number for number, step in enumerate(plain.parts) if any(sign in step for sign in "*?[")), None)
    if steps is None or os.path.lexists(address):
        return os.path.realpath(address)
    return str(PurePosixPath(os.path.realpath(PurePosixPath(*plain.parts[:steps]))).joinpath(*plain.parts[steps:]))


def _picks_up(uri: str, part: str, *, glob: bool) -> bool:
    """Whether a folder or a glob would include a file that does not exist yet."""
    paths = [part, *map(str, PurePosixPath(part).parents)] if not is_remote(part) else [part]
    if glob:
        pattern = re.compile(fsspec.utils.glob_translate(uri))
        return any(pattern.match(path) for path in paths)
    root = uri.rstrip("/") + "/"
    below = part.removeprefix(root).split("/")
    return part.startswith(root) and not any(step[:1] in "._" and "=" not in step for step in below)
