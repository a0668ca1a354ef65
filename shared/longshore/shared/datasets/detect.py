"""Turns the path or URL that a caller gives into the description of a file that workers can open."""

from __future__ import annotations

import os
import stat
from pathlib import Path, PurePosixPath
from typing import get_args

from longshore.shared.datasets.access.credentials import check_no_credentials
from longshore.shared.datasets.access.roots import data_roots
from longshore.shared.datasets.file_listing import (
    IMAGES,
    PARQUET,
    TEXTS,
    is_glob,
    list_files,
    listing_digest,
    root_folder,
)
from longshore.shared.datasets.files import remote_info
from longshore.shared.errors import DataError, InvalidInput, ServiceUnavailable
from longshore.shared.outages import is_outage, lacks_credentials
from longshore.shared.specs.jobs import FileInput
from longshore.shared.specs.validation import build
from longshore.shared.store.address import is_remote, public
from longshore.shared.vocabulary import DataFormat

#: The formats of files by their suffixes, in lower case.
SUFFIXES: dict[str, DataFormat] = {
    ".parquet": "parquet",
    ".pq": "parquet",
    ".csv": "csv",
    ".jsonl": "jsonl",
    ".ndjson": "jsonl",
    ".json-lines": "jsonl",
    ".arrow": "arrow",
    ".feather": "arrow",
    ".ipc": "arrow",
    ".npy": "npy",
    ".npz": "npz",
    ".h5": "hdf5",
    ".hdf5": "hdf5",
    ".tar": "images",
    ".tgz": "images",
    ".tar.gz": "images",
    ".txt": "txt",
}
#: The formats whose files are read together, and their suffixes. Of a folder with several, the first counts.
_COMBINED: dict[DataFormat, tuple[str, ...]] = {"parquet": PARQUET, "images": IMAGES, "txt": TEXTS}
#: Returned in place of a size, for a folder.
_FOLDER = -1
#: For messages: ``parquet, csv, ... or jsonl``.
_FORMATS = " or ".join(", ".join(get_args(DataFormat)).rsplit(", ", 1))


def detect(uri: str | os.PathLike[str], format: str | None = None) -> FileInput:
    """Check that a file exists, and determine its format.

    :param uri: a path, which is made absolute, or any fsspec URL. A folder or a glob stands for its Parquet files, or
        if it has none, for its images, or if it has neither, for its text files.
    :param format: one of ``DataFormat``. Default: determined by the suffix.
    :raises InvalidInput: the file is missing, empty or unreadable, its format is unknown, a folder has no files, or
        this process has no credentials for it.
    :raises ServiceUnavailable: its file system or its server cannot be reached at the moment.
    """
    address = os.fspath(uri)
    if not address:
        raise InvalidInput("data", "empty; give a path or a URL")
    if not is_remote(address):
        path = address.removeprefix("file://").removeprefix("local://")
        address = str(Path(path).expanduser().absolute())
    check_no_credentials(address, "data")
    _check_roots(address)
    try:
        return _detect(address, format)
    except ServiceUnavailable as error:
        if not lacks_credentials(error):
            raise
        raise InvalidInput(
            "data",
            f"cannot read {public(address)}: no credentials for it were found; give them to the workers and to the "
            "process that submits (the gateway, for its callers) by environment variables of the driver, such as "
            "AWS_ACCESS_KEY_ID, or in ~/.config/fsspec",
        ) from None


def _detect(address: str, format: str | None) -> FileInput:
    if is_glob(address):
        return _many(address, format)
    size = _remote_size(address) if is_remote(address) else _local_size(address)
    if size == _FOLDER:
        return _many(address, format)
    data = build(FileInput, {"uri": address, "format": format or _by_suffix(address), "size": size})
    if size == 0:
        raise InvalidInput("data", f"{public(address)} is empty")
    return data


def _check_roots(address: str) -> None:
    try:
        data_roots().check(root_folder(address) or "/", "read")
    except DataError as error:
        raise InvalidInput("data", str(error)) from None


def _many(address: str, format: str | None) -> FileInput:
    data = build(FileInput, {"uri": address, "format": format or "parquet"})
    if data.format not in _COMBINED:
        raise InvalidInput(
            "format",
            f"a folder or a pattern of {data.format} files; only Parquet files, images and text files can be combined",
        )
    if "::" in address or (is_remote(address) and "?" in address):
        raise InvalidInput("data", f"{public(address)}: a chained or signed URL cannot be a folder or a pattern")
    try:
        kinds = {data.format: _COMBINED[data.format]} if format else _COMBINED
        listed = list_files(address, tuple(suffix for suffixes in kinds.values() for suffix in suffixes))
        for kind, suffixes in kinds.items():
            if files := [file for file in listed if file.name.lower().endswith(suffixes)]:
                return data.model_copy(update={"format": kind, "listing": listing_digest(files)})
        raise AssertionError("a listing has files of these suffixes, or is refused")
    except DataError as error:
        raise InvalidInput("data", str(error)) from None


def _by_suffix(address: str) -> DataFormat:
    name = PurePosixPath(public(address)).name.lower()
    suffix = ".tar.gz" if name.endswith(".tar.gz") else PurePosixPath(name).suffix
    if suffix not in SUFFIXES:
        raise InvalidInput(
            "data",
            f"{public(address)}: the suffix {suffix!r} is not a known format; use one of {', '.join(SUFFIXES)}, "
            f"or give the format: {_FORMATS}",
        )
    return SUFFIXES[suffix]


def _local_size(address: str) -> int:
    try:
        status = os.stat(address)  # noqa: PTH116 - a null byte in the path is a ValueError in both
        if stat.S_ISDIR(status.st_mode):
            return _FOLDER
        with Path(address).open("rb"):
            return status.st_size
    except (OSError, ValueError) as error:
        if is_outage(error):
            raise ServiceUnavailable(f"data: cannot read {address}: {error}") from None
        reason = error.strerror if isinstance(error, OSError) else error
        raise InvalidInput("data", f"cannot read {address}: {reason}") from None


def _remote_size(address: str) -> int | None:
    try:
        info = remote_info(address)
    except DataError as error:
        raise InvalidInput("data", str(error)) from None
    return _FOLDER if info.is_folder else info.size
