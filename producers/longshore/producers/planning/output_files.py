"""Checks, before a job is queued, that it can write its output files."""

from __future__ import annotations

import os
import re
from pathlib import Path, PurePosixPath
from urllib.parse import urlsplit

import fsspec.utils
from uuid_utils.compat import uuid7

from longshore.producers.planning.kept_columns import check_keep_names
from longshore.shared.datasets.access.credentials import check_no_credentials
from longshore.shared.datasets.access.roots import data_roots
from longshore.shared.datasets.file_listing import PARQUET, is_glob
from longshore.shared.datasets.outputs.folder import OutputFolder
from longshore.shared.datasets.outputs.pattern import OutputPattern
from longshore.shared.errors import DataError, InvalidInput, ServiceUnavailable
from longshore.shared.specs.jobs import FileInput, InferSpec
from longshore.shared.store.address import is_remote, public


def settle_output(spec: InferSpec) -> tuple[InferSpec, OutputPattern | None]:
    """The spec as workers find it: with its output, and whether the results in the table have keys; and the output.

    :raises InvalidInput: options contradict each other, or no files can be written there.
    """
    check_keep_names(spec.keep)
    spec = spec.model_copy(update={"keyed": bool(spec.keep) and spec.in_table})
    if spec.output is None:
        if spec.results is False:
            raise InvalidInput("results", "False, and no output is given: the outputs would go nowhere")
        return spec, None
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
